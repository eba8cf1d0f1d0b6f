"""TensorBoard: a folder of event files for each job, in `logs/tensorboard/` of the project."""

from collections.abc import Mapping
from importlib.util import find_spec

from dcpipe.loggers.run_logger import Run

if find_spec("tensorboard") is None:
    raise ModuleNotFoundError("No module named 'tensorboard'", name="tensorboard")

from torch.utils.tensorboard import SummaryWriter


class TensorBoardLogger:
    """Writes event files, which `tensorboard --logdir logs/tensorboard` shows."""

    def __init__(self, run: Run) -> None:
        self._writer = SummaryWriter(str(run.root / "logs" / "tensorboard" / run.name))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point of each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is waiting."""
        self._writer.close()


def open_logger(run: Run) -> TensorBoardLogger:
    """The logger of a run."""
    return TensorBoardLogger(run)
