"""Every number of every table is the paper's, and docs/papers.md lists all tables with their rows and tests."""

import re
from collections import Counter
from collections.abc import Iterator

import printed
import printed_numbers
import pytest

import repository
from dcpipe.report import rows
from dcpipe.report.published import PublishedCell, published_cells

Copied = tuple[str, str, str, int | None, tuple[float, ...]]  # table, preset, dataset, ipc, mean and deviation
CELL = re.compile(r"(?:(?P<network>\w+)@)?(?P<dataset>[\w-]+)-(?P<ipc>\d+|all)")
ELSEWHERE = {"ftd-figure-4", "mct-2", "mct-3", "gm-4"}  # typed in printed.py; the figure has no numbers
DOCUMENT = repository.ROOT / "docs/papers.md"
LINE = re.compile(r"\| (?P<tables>`[^|]+`) \| (?P<numbers>\d+) \| (?P<rows>\d+) \| (?P<lacking>\d+|) \| .* \| (.*) \|")


def _copied() -> Iterator[tuple[Copied, str]]:
    """Every number of the copied tables, and the network where the table names one."""
    for name, text in printed_numbers.TABLES.items():
        (_, *heads), *lines = (line.split() for line in text.replace("\\\n", "").strip().splitlines())
        for first, *numbers in lines:
            for head, number in zip(heads, numbers, strict=True):
                method, place = (first, head) if CELL.fullmatch(head) else (head, first)
                found = CELL.fullmatch(place)
                assert found
                if number != "-":
                    ipc = None if found["ipc"] == "all" else int(found["ipc"])
                    values = tuple(map(float, number.split("±")))
                    network = found["network"] or printed.NETWORKS[found["dataset"]]
                    yield (name.removesuffix(" all"), method, found["dataset"], ipc, values), network


def _ours(cell: PublishedCell) -> tuple[Copied, str]:
    return (cell.table, cell.method, cell.dataset, cell.ipc, cell.values), cell.network


def test_numbers_are_those_that_the_papers_print() -> None:
    assert Counter(_copied()) == Counter(_ours(cell) for cell in published_cells() if cell.table not in ELSEWHERE)


def _lacking(name: str) -> int:
    """How many rows of a table no source covers."""
    members = rows.tables()[name]
    return len(members) - len(rows.table_reproduction(repository.ROOT, name).rows)


def test_the_document_lists_every_table_with_its_rows_and_tests(subtests: pytest.Subtests) -> None:
    listed = [found for line in DOCUMENT.read_text().splitlines() if (found := LINE.fullmatch(line))]
    assert [found["tables"].strip("`") for found in listed] == list(rows.tables())
    tests = "".join(path.read_text() for path in (repository.ROOT / "tests").rglob("test_*.py"))
    for found in listed:
        name = found["tables"].strip("`")
        with subtests.test(table=name):
            assert int(found["numbers"]) == sum(bool(cell.values) for cell in published_cells() if cell.table == name)
            assert (int(found["rows"]), int(found["lacking"] or 0)) == (len(rows.tables()[name]), _lacking(name))
            named = re.findall(r"`(test_\w+)`", found[5])
            assert named
            assert all(f"def {test}(" in tests for test in named)
