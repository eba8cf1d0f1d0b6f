"""What comes with the package beside its code: params, workflow, profiles. In a source tree they are the tree's own."""

from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params import source_index

MARKER = "dcpipe.yaml"  # the file that makes a folder a project


def shipped_folder() -> Path:
    """The folder that holds params/, workflow/, profiles/, Snakefile and constraints.txt of this installation."""
    package = Path(__file__).parents[1]
    inside = package / "shipped"
    return inside if inside.is_dir() else package.parents[1]


def is_project(root: Path) -> bool:
    """Whether a folder was made by `dcpipe init`."""
    return (root / MARKER).is_file()


def fallback_params_root(root: Path) -> Path | None:
    """The folder whose params/ a project finds beside its own; None for any other folder, which has its own only."""
    return shipped_folder() if is_project(root) else None


def is_copy(root: Path, file: str) -> bool:
    """Whether a file of a project's params/ is an unedited copy of a shipped one, of this version or an older one."""
    return (root / file).is_file() and source_index.is_unedited_copy(root, file, source_index.SHIPPED)


def require_project(root: Path) -> None:
    """Raises: UserError in a folder that is neither a project nor a source tree: nothing could be found from there."""
    if not is_project(root) and not (root / "params").is_dir():
        remedy = "run dcpipe in a project; `dcpipe init FOLDER` makes one"
        raise UserError("this folder is not a dcpipe project", where=str(root.resolve()), remedy=remedy)
