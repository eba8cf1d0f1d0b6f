"""Laws of the page for `dvc plots`: it asks the network for nothing, and DVC takes it."""

import re
from pathlib import Path

import pytest

from clone import Clone

PLOT = "stages: {}\nplots:\n  - curve.csv: {x: step, y: loss}\n"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A DVC repository with one curve and nothing else."""
    made = Clone(tmp_path / "clone")
    made.path.mkdir()
    for command in (("git", "init", "-q"), ("dvc", "init", "-q")):
        made.run(*command)
    (made.path / "dvc.yaml").write_text(PLOT)
    (made.path / "curve.csv").write_text("step,loss\n0,1.0\n1,0.5\n")
    return made


def asked_of_the_network(page: Path) -> list[str]:
    return re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=.?(?:https?:|//)[^>]*>", page.read_text())


def test_a_plot_with_the_page_asks_the_network_for_nothing(clone: Clone) -> None:
    clone.run("dvc", "plots", "show")
    page = clone.path / "dvc_plots/index.html"
    assert asked_of_the_network(page)  # DVC's own page does
    clone.dcpipe("plots-page")
    clone.run("dvc", "plots", "show")
    assert asked_of_the_network(page) == []
    assert "vegaEmbed(" in page.read_text()
    assert "0.5" in page.read_text()


def test_outside_a_repository_it_is_refused(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    done = clone.dcpipe("plots-page", ok=False)
    assert done.returncode == 1
    assert "this folder is not a DVC repository" in done.stderr
    assert not list(tmp_path.iterdir())
