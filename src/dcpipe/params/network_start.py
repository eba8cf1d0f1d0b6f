"""The axis of where the networks of an evaluation start."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from dcpipe.params.axis import AxisValue

if TYPE_CHECKING:
    from dcpipe.evaluation.rounds import Rounds


class NetworkStartConfig(AxisValue, axis="network start", shorthand=True):
    """Where the networks start that are trained on a set."""

    rounds: ClassVar[int] = 1  # trainings of each network, at most
    is_fresh: ClassVar[bool] = True  # whether nothing was trained before the set that counts

    @abstractmethod
    def build(self) -> "Rounds":
        """The sets that each network is trained on, one after the other."""
