"""What the tests of several rooms start from: a root with params, and one with the tiny experiment's artifacts."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import repository
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

STOPS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # what is ignored here, as under nohup, is so in children
for number in STOPS:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked long run on request alone."""
    if not os.environ.get("DCPIPE_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="part of `make test LONG=1`"))


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A test that leaves a signal ignored would let a later one wait for ever for a process that it started."""
    before = {number: signal.getsignal(number) for number in STOPS}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="session")
def _one_class_of_bits() -> Iterator[None]:
    """Jobs compute on the CPU and keep their state below their own root, whatever this machine's settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCPIPE_DEVICE", "cpu")
        patch.delenv("DCPIPE_STATE", raising=False)
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the committed params and no artifact."""
    return repository.copy_params(tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with every artifact of the tiny experiment. Read only: what changes it takes `tiny`."""
    root = repository.copy_params(tmp_path_factory.mktemp("made"))
    for job in Graph(root).experiment_jobs("tiny"):
        if not job.is_view:
            execute_job(job, root)
    return root


@pytest.fixture
def tiny(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` to change."""
    return Path(shutil.copytree(made, tmp_path / "tiny"))
