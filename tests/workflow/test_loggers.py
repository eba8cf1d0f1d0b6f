"""Loggers are told what the history says, alter no byte, and never end a job."""

import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.loggers import run_logger
from dcpipe.loggers.run_logger import Run

CELL: dict[str, str | int] = {"dataset": "tiny", "method": "mtt", "ipc": 1, "set": 0}
SCORES: dict[str, str | int] = {**CELL, "evaluation": "digits", "network": "native"}


class Lines:
    """A logger of somebody else's package: a line for each number."""

    def __init__(self, run: Run) -> None:
        self.file = (run.root / f"{run.name}.txt").open("a")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.file.write(f"{step} {name} {value}\n")

    def close(self) -> None:
        self.file.close()


class Failing(Lines):
    """One that works for a while."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if step > 1:
            raise OSError("the server is gone")
        super().scalars(step, values)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata of an installed package, with two entry points."""
    metadata = tmp_path / "site" / "lines-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lines\nVersion: 1.0\n")
    points = "".join(f"{name.lower()} = {__name__}:{name}\n" for name in ("Lines", "Failing"))
    (metadata / "entry_points.txt").write_text(f"[{run_logger.GROUP}]\n{points}")
    monkeypatch.syspath_prepend(str(metadata.parent))


def history(root: Path, job_outputs: Mapping[str, str]) -> list[dict[str, str]]:
    with (root / job_outputs["history"]).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("installed")
def test_a_logger_is_told_the_history_and_alters_no_byte(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tiny / "artifacts/synthetic/tiny/mtt/ipc1/set0"
    before = repository.bytes_below(place)
    monkeypatch.setenv(run_logger.ENVIRONMENT_VARIABLE, "lines")
    job = repository.make(tiny, "distill", **CELL)
    assert repository.bytes_below(place) == before
    told = [line.split() for line in (tiny / f"{job.name}.txt").read_text().splitlines()]
    losses = {int(step): float(value) for step, name, value in told if name == "loss"}
    assert losses == {int(row["iteration"]): float(row["loss"]) for row in history(tiny, job.outputs)}


@pytest.mark.usefixtures("installed")
def test_epochs_of_experts_and_networks_that_are_tested_are_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run_logger.ENVIRONMENT_VARIABLE, "lines")
    experts = repository.make(tiny, "experts", dataset="tiny", experts="plain", shard=1)
    told = [line.split() for line in (tiny / f"{experts.name}.txt").read_text().splitlines()]
    assert [int(step) for step, name, _ in told if name == "expert1/loss"] == [1, 2, 3, 4]
    scores = repository.make(tiny, "evaluate", **SCORES)
    told = [line.split() for line in (tiny / f"{scores.name}.txt").read_text().splitlines()]
    assert [(int(step), name) for step, name, _ in told] == [(0, "accuracy/test"), (1, "accuracy/test")]


@pytest.mark.usefixtures("installed")
def test_a_logger_that_fails_is_left_out_and_the_job_goes_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run_logger.ENVIRONMENT_VARIABLE, "failing,lines")
    job = repository.make(tiny, "distill", **CELL)
    steps = [int(line.split()[0]) for line in (tiny / f"{job.name}.txt").read_text().splitlines()]
    iterations = len(history(tiny, job.outputs))
    assert sorted(set(steps)) == list(range(iterations))
    assert steps.count(0) == 2 * steps.count(iterations - 1)


def test_a_logger_that_is_not_there_is_refused_before_the_job(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run_logger.ENVIRONMENT_VARIABLE, "tensorbord")
    with pytest.raises(UserError, match="DCPIPE_LOGGERS: there is no logger 'tensorbord'; did you mean tensorboard"):
        repository.make(tiny, "distill", **CELL)


@pytest.mark.parametrize("name", sorted(run_logger.SHIPPED))
def test_a_package_that_is_not_installed_is_named(name: str, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    monkeypatch.setenv(run_logger.ENVIRONMENT_VARIABLE, name)
    with pytest.raises(UserError, match=f"DCPIPE_LOGGERS={name}: {name} is not installed; pip install {name}"):
        repository.make(tiny, "distill", **CELL)


def test_tensorboard_reads_the_history_from_its_event_file(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv(run_logger.ENVIRONMENT_VARIABLE, "tensorboard")
    job = repository.make(tiny, "distill", **CELL)
    read = reading.EventAccumulator(str(tiny / "logs/tensorboard" / job.name)).Reload()
    losses = {event.step: event.value for event in read.Scalars("loss")}
    wanted = {int(row["iteration"]): float(row["loss"]) for row in history(tiny, job.outputs)}
    assert losses == pytest.approx(wanted, rel=1e-6)  # TensorBoard keeps float32


def test_mlflow_has_the_history_as_metrics(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tiny / 'mlflow.db'}")
    monkeypatch.setenv(run_logger.ENVIRONMENT_VARIABLE, "mlflow")
    job = repository.make(tiny, "distill", **CELL)
    client = tracking.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("dcpipe").experiment_id])
    losses = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "loss")}
    assert losses == {int(row["iteration"]): float(row["loss"]) for row in history(tiny, job.outputs)}
    assert run.data.params["method"] == "mtt"
