"""A fork server whose forks run the Python file that follows `--log`, after loading numpy alone: what tests ask of it.

python fork_bodies.py SOCKET     started in the place of `python -m dcpipe.engines.fork_server SOCKET`
"""

import runpy
import sys
from pathlib import Path

import numpy as np

from dcpipe import cli
from dcpipe.engines import fork_server

WATCHED = Path("watched.py")  # stands for the source files


def load(_experiment: str) -> dict[Path, tuple[int, int]]:
    if Path("threads").exists():
        import threading

        threading.Thread(target=threading.Event().wait, daemon=True).start()
    assert np.random.random() >= 0  # its generator exists
    about = WATCHED.stat()
    return {WATCHED: (about.st_mtime_ns, about.st_size)}


class Verbs:
    """What stands for the command line."""

    @staticmethod
    def main() -> None:
        runpy.run_path(sys.argv[sys.argv.index("--log") + 1])
        sys.exit()


if __name__ == "__main__":
    vars(fork_server)["load_libraries"] = load
    vars(cli)["verbs"] = Verbs  # in the place of the module
    fork_server.main()
