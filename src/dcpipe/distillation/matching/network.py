"""What matchings share that draw networks of their own: updates of the images against one, training it in between."""

from dataclasses import dataclass, replace

from dcpipe.distillation.class_batches import ClassBatches, ClassDraw
from dcpipe.distillation.episode_network import Network, NetworkTrainer, has_settled
from dcpipe.distillation.matching.common import Episode, Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.models.flat import FlatModel
from dcpipe.params.distribution import Distribution
from dcpipe.params.episode import FixedUpdates, Training, UntilSettled, Updates
from dcpipe.params.features import Features
from dcpipe.params.gradient import Gradient
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class NetworkEpisode:
    """One update: its number in the iteration (from 0), the network it is made against and what is drawn of each class.

    `accuracies`: the network's on real images, one an update so far, where they tell when to end.
    """

    iteration: int
    update: int
    network: Network
    classes: tuple[ClassDraw, ...]
    accuracies: tuple[float, ...] = ()

    @property
    def facts(self) -> dict[str, int | float]:
        """The number of the update."""
        return {"update": self.update}


class NetworkMatching:
    """The episodes of a `dcpipe.distillation.matching.common.Matching`; one adds `evaluate`.

    All draws are named after iteration and update.
    """

    def __init__(self, setting: Setting, model: FlatModel, *, updates: Updates, training: Training) -> None:
        what = setting.method.matching
        assert isinstance(what, Gradient | Distribution | Features)  # noqa: S101 (those that draw networks)
        self._model, self._classes = model, setting.train.classes
        self._batches = ClassBatches(setting.train, what.augmentation)
        self._trainer = NetworkTrainer(model, self._batches, training)
        self._stream, self._real_batch, self._updates = setting.stream, what.real_batch, updates

    def draw(self, iteration: int, num_images: int) -> NetworkEpisode:  # noqa: ARG002 (of every matching)
        """A fresh network, and for each class real images and an augmentation."""
        network = self._trainer.fresh(self._stream.child("iteration", iteration, "network"))
        return self._ready(NetworkEpisode(iteration, 0, network, ()))

    def proceed(self, synthetic: SyntheticSet, episode: Episode) -> NetworkEpisode | None:
        """The network trained on the set, and other draws; None after the last update (which trains nothing)."""
        assert isinstance(episode, NetworkEpisode)  # noqa: S101 (drawn above)
        what, done, stream = self._updates, episode.update + 1, self._of(episode)
        accuracies = episode.accuracies
        if isinstance(what, UntilSettled):
            found = self._trainer.accuracy(episode.network, what.real_batch, stream.child("settled"))
            accuracies = (*accuracies, found)
        if _is_last(what, done, accuracies):
            return None
        network = self._trainer.train(episode.network, synthetic, episode.update, stream.child("training"))
        return self._ready(replace(episode, update=done, network=network, accuracies=accuracies))

    def _ready(self, episode: NetworkEpisode) -> NetworkEpisode:
        stream = self._of(episode)
        network = self._trainer.with_real_statistics(episode.network, stream.child("statistics"))
        return replace(episode, network=network, classes=self._batches.draw(self._real_batch, stream))

    def _of(self, episode: NetworkEpisode) -> Stream:
        return self._stream.child("iteration", episode.iteration, "update", episode.update)


def _is_last(what: Updates, done: int, accuracies: tuple[float, ...]) -> bool:
    if isinstance(what, FixedUpdates):
        return done == what.count
    return done == what.at_most or has_settled(accuracies, what.window, what.range)
