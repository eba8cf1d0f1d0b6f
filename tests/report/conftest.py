"""A small real experiment, run once: two methods, two sets of each, two protocols, on a few handwritten digits."""

import shutil
from pathlib import Path

import pytest

from dcpipe.report import report_stage
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

REPOSITORY = Path(__file__).parents[2]
EXPERIMENT = """
title: Two & two <digits>
description: What the report is tested on.
runs:
  - datasets: [tiny]
    methods: [random, mtt]
    ipc: [1]
    sets: 2
    evaluations: [digits, digits-legacy-max]
    networks: [native]
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with every artifact and view of the experiment `two`."""
    root = tmp_path_factory.mktemp("report")
    shutil.copytree(REPOSITORY / "params", root / "params")
    shutil.copy(REPOSITORY / "constraints.txt", root)
    (root / "params/experiments/two.yaml").write_text(EXPERIMENT)
    graph = Graph(root)
    for job in graph.experiment_jobs("two"):
        if not job.is_view:
            execute_job(job, root)
    report_stage.run(graph.make_job("report", experiment="two"), root)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(made, tmp_path / "copy")
