"""Laws of marks: a cell has one exactly where no source states its values."""

from pathlib import Path

import pytest

import repository
from dcpipe.report import unsourced
from dcpipe.workflow.graph import Graph

RUN = "  - {datasets: [%s], methods: [%s], ipc: [%s], sets: 1, evaluations: [mtt], networks: [native]}\n"


def _marks(root: Path, *runs: tuple[str, str, str]) -> list[str]:
    text = "title: t\ndescription: d\nruns:\n" + "".join(RUN % run for run in runs)
    (root / "params/experiments/marked.yaml").write_text(text)
    return unsourced.unsourced_lines(Graph(root), "marked")


def test_the_shipped_experiments_on_digits_have_no_mark() -> None:
    graph = Graph(repository.ROOT)
    for experiment in ("digits", "tiny", "digits-all", "ablations"):
        assert unsourced.unsourced_lines(graph, experiment) == []


def test_values_of_another_cell_are_marked(root: Path) -> None:
    found = _marks(
        root, ("cifar10-zca", "random, mtt, satm", "50"), ("imagenet-1k", "satm", "1"), ("mnist", "dc", "20")
    )
    assert found == [
        "mtt on cifar10-zca, ipc 50: values of cifar10, ipc 50, no source",
        "satm on imagenet-1k, ipc 1: values of the preset in general, no source",
        "dc on mnist, ipc 20: values of the preset in general, no source",
    ]
    assert _marks(root, ("cifar10-zca", "random, mtt, satm", "10")) == []


def test_the_plan_ends_with_the_marks(root: Path) -> None:
    assert _marks(root, ("digits-val", "mtt", "1"))
    code, printed = repository.dcpipe(root, "plan", "marked")
    assert code == 0
    assert printed.splitlines()[-1] == "mtt on digits-val, ipc 1: values of digits, ipc 1, no source"


def test_the_experiments_of_the_papers_datasets_have_no_mark(subtests: pytest.Subtests) -> None:
    graph = Graph(repository.ROOT)
    for experiment in PAPERS:
        with subtests.test(experiment=experiment):
            assert unsourced.unsourced_lines(graph, experiment) == []


PAPERS = ("mnist", "fashion-mnist", "svhn", "cifar10", "cifar100", "tiny-imagenet", "imagenet-subsets")
