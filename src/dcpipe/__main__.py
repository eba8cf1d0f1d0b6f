"""`python -m dcpipe`."""

from dcpipe.cli import main

main()
