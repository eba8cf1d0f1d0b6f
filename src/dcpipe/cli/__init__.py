"""The command line: one verb a stage, and one a question. Thin: load, call, write.

The verbs stand in the modules that `dcpipe.cli.verbs` imports. Here is only where every process begins: a job of a run
is handed to a fork of the run's server where there is one, before anything that takes long is imported.
"""

import sys
from typing import NoReturn

from dcpipe.engines import fork_client


def main() -> NoReturn:
    """Run the command line, here or in a fork; errors become one line on standard error and an exit code."""
    fork_client.run_in_fork(sys.argv[1:])
    from dcpipe.cli import verbs

    verbs.main()
