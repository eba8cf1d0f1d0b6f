"""A clone where the tiny experiment was run and recorded, which several modules start from. Read only: copy it."""

import pytest

from clone import Clone


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone where Snakemake ran the experiment, and the run was recorded and committed."""
    clone = Clone.make(tmp_path_factory.mktemp("snakemake") / "clone")
    assert not (clone.path / "experiments").exists()
    done = clone.snakemake()
    assert "wrote experiments/tiny/dvc.yaml" in done.stderr
    assert "recorded 12 jobs" in done.stdout + done.stderr
    clone.commit("recorded")
    return clone
