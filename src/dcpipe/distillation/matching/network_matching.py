"""What matchings share that draw networks of their own: updates of the images against one, training it in between."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dcpipe.distillation.class_batches import ClassBatches, ClassSample
from dcpipe.distillation.matching_results import MatchingResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.training.network_training import NetworkState, NetworkTrainer
from dcpipe.distillation.updates.update_counts import LastUpdateRule
from dcpipe.models.flat import FlatModel
from dcpipe.params.network_axes import TrainingConfig
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class NetworkEpisode:
    """One update: its number in the iteration (from 0), the network it is made against and what is drawn of each class.

    See `dcpipe.distillation.episodes.Episode`. `accuracies`: the network's on real images, one per update so far, where
    they tell when to end.
    """

    matching: "NetworkMatching"
    iteration: int
    update: int
    network: NetworkState
    classes: tuple[ClassSample, ...]
    accuracies: tuple[float, ...] = ()

    @property
    def facts(self) -> dict[str, int | float]:
        """The number of the update."""
        return {"update": self.update}

    @property
    def as_student_episode(self) -> None:
        """None: the loss comes from no student."""
        return None

    def evaluate(self, synthetic: SyntheticSet) -> MatchingResult:
        """The matching's loss and the derivative of the images."""
        return self.matching.loss(self, synthetic)

    def next_episode(self, synthetic: SyntheticSet) -> "NetworkEpisode | None":
        """The network trained on the set, and other draws; None after the last update (which trains nothing)."""
        return self.matching.next_episode(self, synthetic)


Loss = Callable[[NetworkEpisode, SyntheticSet], MatchingResult]
"""An episode's loss of a set, and the derivative of the images."""


class NetworkMatching:
    """The episodes of a `dcpipe.distillation.episodes.Matching`; all draws are named after iteration and update."""

    def __init__(
        self,
        setting: Setting,
        trainer: NetworkTrainer,
        batches: ClassBatches,
        *,
        real_batch: int,
        is_last: LastUpdateRule,
        loss: Loss,
    ) -> None:
        self.loss = loss
        self._trainer, self._batches, self._stream = trainer, batches, setting.stream
        self._real_batch, self._is_last = real_batch, is_last

    def draw_episode(self, iteration: int, _num_images: int) -> NetworkEpisode:
        """A fresh network, and for each class real images and an augmentation."""
        network = self._trainer.fresh(self._stream.child("iteration", iteration, "network"))
        return self._with_batches(NetworkEpisode(self, iteration, 0, network, ()))

    def next_episode(self, episode: NetworkEpisode, synthetic: SyntheticSet) -> NetworkEpisode | None:
        """The next episode of an iteration; None where it was the last."""
        done, stream = episode.update + 1, self._stream_of(episode)

        def measure(count: int) -> float:
            return self._trainer.accuracy(episode.network, count, stream.child("settled"))

        last, accuracies = self._is_last(done, episode.accuracies, measure)
        if last:
            return None
        network = self._trainer.train(episode.network, synthetic, episode.update, stream.child("training"))
        return self._with_batches(replace(episode, update=done, network=network, accuracies=accuracies))

    def _with_batches(self, episode: NetworkEpisode) -> NetworkEpisode:
        stream = self._stream_of(episode)
        network = self._trainer.with_real_statistics(episode.network, stream.child("statistics"))
        return replace(episode, network=network, classes=self._batches.draw(self._real_batch, stream))

    def _stream_of(self, episode: NetworkEpisode) -> Stream:
        return self._stream.child("iteration", episode.iteration, "update", episode.update)


@dataclass(frozen=True, slots=True)
class NetworkMatchingComponents:
    """What the loss of such a matching is made of: the network, draws of classes, and the training of networks."""

    model: FlatModel
    batches: ClassBatches
    trainer: NetworkTrainer

    @classmethod
    def from_setting(
        cls, setting: Setting, model: FlatModel, augmentation: str, training: TrainingConfig | None
    ) -> "NetworkMatchingComponents":
        """Of a job; `training` None: networks are never trained."""
        batches = ClassBatches(setting.train, augmentation)
        return cls(model, batches, NetworkTrainer(model, batches, training))
