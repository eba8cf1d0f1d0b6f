"""MLflow: a run for each job, in the experiment `dcpipe`; MLFLOW_TRACKING_URI says where, as always with MLflow."""

from collections.abc import Mapping

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis

from dcpipe.loggers.run_logger import Run

EXPERIMENT = "dcpipe"


class MLflowLogger:
    """Logs metrics by step; the wildcards of the job are the params of the run."""

    def __init__(self, run: Run) -> None:
        self._client = MlflowClient()
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        self._run: str = self._client.create_run(experiment, run_name=run.name).info.run_id
        for key, value in {"stage": run.stage, **run.wildcards}.items():
            self._client.log_param(self._run, key, value)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics of a step, in one request."""
        now = get_current_time_millis()
        self._client.log_batch(self._run, [Metric(name, value, now, step) for name, value in values.items()])

    def close(self) -> None:
        """The run ended."""
        self._client.set_terminated(self._run)


def open_logger(run: Run) -> MLflowLogger:
    """The logger of a run."""
    return MLflowLogger(run)
