"""dcpipe commands, one after the other in one process that cannot import some packages.

    python without.py "snakemake dvc" "dcpipe data tiny" "dcpipe metrics tiny"

Prints the exit codes as JSON.
"""

import json
import shlex
import sys
from collections.abc import Collection
from importlib.machinery import ModuleSpec

from dcpipe import cli


class Without:
    """A finder that does not see some packages; in all else the one that it stands for."""

    def __init__(self, finder: object, packages: Collection[str]) -> None:
        self._finder, self._packages = finder, packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return None if name.partition(".")[0] in self._packages else self._finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> object:
        return getattr(self._finder, name)


def run(command: str) -> object:
    """The exit code of a command."""
    sys.argv = shlex.split(command)
    try:
        cli.main()
    except SystemExit as left:
        return left.code


def main() -> None:
    hidden, *commands = sys.argv[1:]
    packages = set(hidden.split())
    sys.meta_path[:] = [Without(finder, packages) for finder in sys.meta_path]
    assert not packages & {name.split(".")[0] for name in sys.modules}
    codes = [run(command) for command in commands]
    sys.stdout.write("\n" + json.dumps(codes))


if __name__ == "__main__":
    main()
