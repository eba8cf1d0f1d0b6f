"""A root with a few prepared digits, plain and whitened."""

import shutil
from pathlib import Path

import pytest

from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

REPOSITORY = Path(__file__).parents[2]
WHITENED = (
    "base: tiny\ndescription: Whitened.\nstandardise: {kind: none}\nwhitening: {kind: zca, eps: 0.1, threads: 1}\n"
)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The datasets tiny and tiny-zca, prepared."""
    root = tmp_path_factory.mktemp("sets")
    shutil.copytree(REPOSITORY / "params", root / "params")
    shutil.copy(REPOSITORY / "constraints.txt", root)
    (root / "params/datasets/tiny-zca.yaml").write_text(WHITENED)
    graph = Graph(root)
    for job in (graph.make_job("data", dataset="tiny"), graph.make_job("data", dataset="tiny-zca")):
        execute_job(job, root)
    execute_job(graph.make_job("whiten", dataset="tiny-zca"), root)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may change, on a machine without a data root."""
    monkeypatch.delenv("DCPIPE_DATA", raising=False)
    return shutil.copytree(prepared, tmp_path / "root")
