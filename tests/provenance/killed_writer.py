"""Writes many times, each time in a process that dies at another call that changes the disk.

    python killed_writer.py publish FOLDER     an artifact, to FOLDER/1, FOLDER/2, ...
    python killed_writer.py write FOLDER       a single file, to FOLDER/1/file, FOLDER/2/file, ...

Run k is killed (SIGKILL) instead of making its k-th call; a write is torn in the middle. Prints how many calls
there are.
"""

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from dcpipe.provenance import artifact, durable

VERSIONS = {  # the same names and sizes, so that nothing but content tells them apart
    "old": {"t.zarr/zarr.json": b"{}", "t.zarr/a/c/0": b"old " * 64, "t.zarr/a/c/1": b"older", "s.json": b"0"},
    "new": {"t.zarr/zarr.json": b"{}", "t.zarr/a/c/0": b"new " * 64, "t.zarr/a/c/1": b"newer", "s.json": b"1"},
}


def publish(folder: Path, version: str) -> None:
    """Write a version as a stage does."""
    with artifact.draft_artifact(folder) as draft:
        for name, content in VERSIONS[version].items():
            payload, _, inner = name.partition("/")
            path = draft.path(payload) / inner if inner else draft.path(payload)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        draft.publish({"version": version})


def write(folder: Path, version: str) -> None:
    """Write a single file as states, costs and cards are written."""
    durable.write_atomically(folder / "file", VERSIONS[version]["t.zarr/a/c/0"])


def _dying_at(call: int) -> None:
    turn = count(1)

    def wrap(function: Callable[..., object], *, torn: bool = False) -> Callable[..., object]:
        def dying(*arguments: object, **keywords: object) -> object:
            if next(turn) == call:
                if torn:
                    path, content = arguments
                    function(path, content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return dying

    for name in ("fsync", "replace", "rename", "unlink", "rmdir"):
        setattr(os, name, wrap(getattr(os, name)))
    Path.write_bytes = wrap(Path.write_bytes, torn=True)


def main() -> None:
    action, folder = {"publish": publish, "write": write}[sys.argv[1]], Path(sys.argv[2])
    for call in count(1):
        process = os.fork()
        if process == 0:
            _dying_at(call)
            action(folder / str(call), "new")
            os._exit(0)
        if os.waitpid(process, 0)[1] == 0:
            sys.stdout.write(str(call - 1))
            return


if __name__ == "__main__":
    main()
