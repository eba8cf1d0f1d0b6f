"""What is wrong with the files of a source: collected, counted by kind, and refused all at once."""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from dcpipe.errors import UserError

NAMED = 3  # of each kind, in the error; the log has a line for every file

log = logging.getLogger("dcpipe")


@dataclass
class Problems:
    """The files that cannot be used, by the kind of their problem."""

    by_kind: dict[str, list[tuple[Path, str]]] = field(default_factory=dict)

    def add(self, path: Path, kind: str, detail: str = "") -> None:
        """Keep one problem. Equal kinds are counted together; `detail` is about this file alone."""
        self.by_kind.setdefault(kind, []).append((path, f"{kind} ({detail})" if detail else kind))

    def __bool__(self) -> bool:
        return bool(self.by_kind)

    def refuse(self, remedy: str) -> None:
        """Log each problem, if there are several.

        Raises: UserError if there is any: the one, or each kind with its count and its first files.
        """
        found = [one for kind in self.by_kind.values() for one in kind]
        if not found:
            return
        if len(found) == 1:
            ((path, text),) = found
            raise UserError(text, where=str(path), remedy=remedy)
        for path, text in found:
            log.warning("%s: %s", path, text)
        common = Path(os.path.commonpath([path.parent for path, _ in found]))
        kinds = [_counted(kind, [path for path, _ in members], common) for kind, members in self.by_kind.items()]
        problem = f"{len(found)} files or folders cannot be used: {', '.join(kinds)}"
        raise UserError(problem, where=str(common), remedy=f"{remedy} (the log names each)")


def _counted(kind: str, paths: list[Path], common: Path) -> str:
    first = [path.relative_to(common).as_posix() for path in sorted(paths)[:NAMED]]
    more = ", ..." if len(paths) > NAMED else ""
    return f"{kind} ({len(paths)}: {', '.join(first)}{more})"
