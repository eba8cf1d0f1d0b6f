"""dcpipe: dataset distillation as a workflow."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (a checkout can be run by any Python, which pip would have refused)
    sys.stderr.write(f"dcpipe: needs Python 3.11 or newer; this is {sys.version.split()[0]}: {sys.executable}\n")
    sys.exit(2)

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcpipe.commands.release.read_release import ReleasedSet

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(folder: str | Path) -> "ReleasedSet":
    """A folder that `dcpipe release` made, as a torch Dataset with the transform of its test images.

    Raises: UserError if the folder is no release; CorruptArtifactError naming the file that is not what was released.
    """
    from dcpipe.commands.release import read_release

    return read_release.load_release(folder)
