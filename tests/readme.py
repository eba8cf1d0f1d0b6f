"""The recipes of a page of documentation, run word by word in a clone.

A recipe is a fenced block with a comment before its fence, which a reader of the page does not see:

    <!-- test: file params/methods/mine.yaml -->     the block is written as that file, its folders made; it may
                                                     replace one of the clone
    <!-- test: run -->                               the block's lines are run by bash in the clone's folder, and the
                                                     first that fails ends the test; `dcpipe`, `pytest`, `snakemake`,
                                                     `dvc` and `python` are those of this environment

The blocks of a page are executed in their order, all of them in one clone: a recipe sees what those before it left.
Commands run with the clone's own code, on the CPU. Use the `tiny` datasets and experiment, whose jobs take seconds.
A marker that is misspelt, or that no fence follows, is an error.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from clone import Clone

MARKER = re.compile(r"\s*<!--\s*test:\s*(?P<words>.*?)\s*-->\s*")
FENCE = re.compile(r"(?P<indent>\s*)(?P<fence>```+)[a-z]*\s*")


@dataclass(frozen=True)
class Block:
    """A marked block: the file that it is (None: lines to run), its text, and the line of its marker."""

    file: str | None
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The marked blocks of a page's text, in their order.

    Raises: ValueError naming the line of a marker that means nothing or that no fenced block follows.
    """
    lines = page.splitlines()
    found = []
    for number, line in enumerate(lines):
        if marker := MARKER.fullmatch(line):
            match marker["words"].split():
                case ["file", path]:
                    found.append(Block(path, _fenced(lines, number), number + 1))
                case ["run"]:
                    found.append(Block(None, _fenced(lines, number), number + 1))
                case _:
                    raise ValueError(f"line {number + 1}: {line.strip()}: write `test: file PATH` or `test: run`")
        elif "test:" in line and "<!--" in line:
            raise ValueError(f"line {number + 1}: {line.strip()}: a marker stands alone on its line")
    return found


def _fenced(lines: list[str], marker: int) -> str:
    """The text of the fenced block right below a marker."""
    opening = FENCE.fullmatch(lines[marker + 1]) if marker + 1 < len(lines) else None
    if not opening:
        raise ValueError(f"line {marker + 1}: no fenced block follows; put the marker right before its fence")
    inside = []
    for line in lines[marker + 2 :]:
        if line.strip() == opening["fence"]:
            return "".join(f"{one.removeprefix(opening['indent'])}\n" for one in inside)
        inside.append(line)
    raise ValueError(f"line {marker + 2}: this fenced block never ends")


def execute(name: str, clone: Clone) -> None:
    """Write and run the marked blocks of the clone's page `name`, such as README.md."""
    for block in blocks((clone.path / name).read_text()):
        if block.file is None:
            done = clone.run("bash", "-euo", "pipefail", "-c", block.text, ok=False)
            assert done.returncode == 0, (
                f"{name}, line {block.line}: exit code {done.returncode}\n{block.text}\n{done.stdout}\n{done.stderr}"
            )
        else:
            path = (clone.path / block.file).resolve()
            assert path.is_relative_to(Path(clone.path).resolve()), f"{name}, line {block.line}: not below the clone"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
