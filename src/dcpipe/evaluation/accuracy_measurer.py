"""Measuring one synthetic set: networks are trained on it; of several learning rates, validation images choose.

Every accuracy is kept in the job's state as it comes.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dcpipe.data.store import Images
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import NonFiniteError
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.evaluation.protocol import TrainedNetwork
from dcpipe.evaluation.training_group import train_group
from dcpipe.experts.pass_config import training_pass
from dcpipe.loggers.run_logger import log_scalars
from dcpipe.models.build import build
from dcpipe.params.evaluation import Evaluation
from dcpipe.progress import track
from dcpipe.provenance.json_value import JsonValue
from dcpipe.random import Stream
from dcpipe.workflow.stopping import stop, stop_requested
from dcpipe.workflow.task import Task

UNAVERAGED = "/unaveraged"  # end of a key


@dataclass(frozen=True, slots=True)
class LearningRateSearchResult:
    """The rate that did best, and the mean validation accuracy of each (None: a network was not finite)."""

    rate: float
    means: Mapping[float, float | None]


class AccuracyMeasurer:
    """Trains networks on a set and measures them on a part."""

    def __init__(self, task: Task, config: Evaluation, network: str, parts: Mapping[str, Images]) -> None:
        some = parts["test"]
        precision = config.compute.precision
        self._model = build(
            network, channels=some.channels, image_size=some.size, classes=some.classes, precision=precision
        )
        self._run_pass = training_pass(config.compute, network, some)
        self._task, self._config, self._parts = task, config, parts
        wildcards = task.job.wildcards
        names = (wildcards["dataset"], wildcards["method"], int(wildcards["ipc"]), int(wildcards["set"]), network)
        self._stream = Stream.root(config.seed, "evaluate", *names)
        saved = task.state.load("accuracies")
        logged = JsonValue(saved[1], str(task.state.path("accuracies"))).fields() if saved else {}
        self._known = {key: value.number() for key, value in logged.items()}
        self.searches: dict[int, LearningRateSearchResult] = {}  # by the iteration that the set is from
        self.unaveraged: dict[int, list[float]] = {}  # likewise: test accuracies before networks went on to the average

    def __call__(self, part: str, iteration: int, synthetic: SyntheticSet) -> list[float]:
        """One accuracy per network, in percent.

        Raises: NonFiniteError if training diverged (values not finite), at every rate where there are several.
        """
        rates = self._config.learning_rate.build()(synthetic)
        if len(rates) > 1 and iteration not in self.searches:
            self.searches[iteration] = self._search(iteration, synthetic, rates)
        rate = self.searches[iteration].rate if len(rates) > 1 else rates[0]
        return self._accuracies_at(rate, part, iteration, synthetic)

    def _search(self, iteration: int, synthetic: SyntheticSet, rates: Sequence[float]) -> LearningRateSearchResult:
        means: dict[float, float | None] = {}
        for rate in rates:
            try:
                means[rate] = statistics.fmean(self._accuracies_at(rate, "val", iteration, synthetic))
            except NonFiniteError:
                means[rate] = None
        finite = {rate: mean for rate, mean in means.items() if mean is not None}
        if not finite:
            remedy = "add a smaller rate to learning_rate.values of the protocol"
            raise NonFiniteError(
                "networks diverge (values are not finite) at every rate", where=self._task.job.name, remedy=remedy
            )
        return LearningRateSearchResult(
            max(finite, key=lambda rate: finite[rate]), means
        )  # the smallest of several best ones

    def _accuracies_at(self, rate: float, part: str, iteration: int, synthetic: SyntheticSet) -> list[float]:
        keys = [f"{part}/{iteration}/{rate!r}/{index}" for index in range(self._config.networks)]
        rounds = self._config.start.build()(
            self._with_protocol_labels(synthetic).to(self._parts[part].images_NCHW.device)
        )
        after = [*[UNAVERAGED] * (len(rounds) - 1), ""]  # ends of the keys of each round
        # groups are the same whatever is known already: a network's last bits may depend on its neighbours
        for first in track(range(0, len(keys), self._config.side_by_side), self._task.job.name):
            group = range(first, min(first + self._config.side_by_side, len(keys)))
            if any(keys[index] not in self._known for index in group):
                for end, networks in zip(after, self._train(rate, rounds, group), strict=True):
                    for index, network in zip(group, networks, strict=True):
                        measured = accuracy(self._model, network.theta_P, self._parts[part], network.statistics)
                        self._known[f"{keys[index]}{end}"] = measured
                        log_scalars(index, {f"accuracy/{part}{end}": measured})
                self._save_when_due()
        if part == "test" and len(rounds) > 1:
            self.unaveraged[iteration] = [self._known[f"{key}{UNAVERAGED}"] for key in keys]
        return [self._known[key] for key in keys]

    def _with_protocol_labels(self, synthetic: SyntheticSet) -> SyntheticSet:
        """The set with the labels that the protocol trains on."""
        if self._config.labels == "own":
            return synthetic
        return replace(synthetic, labels=synthetic.class_labels, intended_classes_N=None)

    def _train(self, rate: float, rounds: Sequence[SyntheticSet], group: range) -> Iterator[Sequence[TrainedNetwork]]:
        """The networks of a group after each round."""
        # the same networks for every iteration's set: sets are compared on equal terms, and the finished set scores
        # the same whether it was chosen or the last
        streams = [self._stream.child("network", index) for index in group]
        networks: Sequence[TrainedNetwork] | None = None
        for number, synthetic in enumerate(rounds):
            own = [stream.child("round", number) for stream in streams] if number else streams
            networks = train_group(self._model, synthetic, self._config, rate, own, networks, self._run_pass)
            yield networks

    def _save_when_due(self) -> None:
        asked = stop_requested()  # once: a signal that comes between saving and leaving waits for the next turn
        if asked or self._task.state.is_due():
            self._task.state.save("accuracies", {}, self._known)
        if asked:
            stop()
