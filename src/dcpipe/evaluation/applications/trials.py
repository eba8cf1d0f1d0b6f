"""Networks that are trained on synthetic sets and tested, for every application; each result is kept as it comes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dcpipe.data.store import Images
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.evaluation.training_group import train_group
from dcpipe.experts.pass_config import training_pass
from dcpipe.models.build import build
from dcpipe.params.evaluation import Evaluation
from dcpipe.provenance.json_value import JsonValue
from dcpipe.random import Stream
from dcpipe.workflow.stopping import stop, stop_requested
from dcpipe.workflow.task import Task

SAVED = "accuracies"


class Trials:
    """Trains the protocol's number of fresh networks on a set and tests them.

    Networks have the random streams of an ordinary evaluation, so that the same set, network and test images give the
    same accuracies there and here, bit for bit.
    """

    def __init__(self, task: Task, config: Evaluation) -> None:
        self._task, self._config = task, config
        saved = task.state.load(SAVED)
        known = JsonValue(saved[1], str(task.state.path("accuracies"))).fields() if saved else {}
        self._known = {key: tuple(value.numbers()) for key, value in known.items()}

    def accuracies(self, key: str, network: str, synthetic: SyntheticSet, test: Images) -> Sequence[float]:
        """One accuracy per network, in percent. `key` names the result among those of this job.

        Raises: NonFiniteError if training diverged.
        """
        if key not in self._known:
            self._known[key] = tuple(self._measure(network, synthetic, test))
            asked = stop_requested()  # once: a signal that comes between saving and leaving waits for the next turn
            if asked or self._task.state.is_due():
                self._task.state.save(SAVED, {}, self._known)
            if asked:
                stop()
        return self._known[key]

    def _measure(self, network: str, synthetic: SyntheticSet, test: Images) -> list[float]:
        config, wildcards = self._config, self._task.job.wildcards
        precision = config.compute.precision
        model = build(network, channels=test.channels, image_size=test.size, classes=test.classes, precision=precision)
        names = (wildcards["dataset"], wildcards["method"], int(wildcards["ipc"]), int(wildcards["set"]), network)
        stream = Stream.root(config.seed, "evaluate", *names)
        synthetic = synthetic.to(test.images_NCHW.device)
        (rate,) = config.learning_rate.build()(synthetic)
        run_pass = training_pass(config.compute, network, test)
        found: list[float] = []
        for first in range(0, config.networks, config.side_by_side):
            group = range(first, min(first + config.side_by_side, config.networks))
            streams = [stream.child("network", index) for index in group]
            for trained in train_group(model, synthetic, config, rate, streams, run_pass=run_pass):
                found.append(accuracy(model, trained.theta_P, test, trained.statistics))
        return found


@dataclass(frozen=True, slots=True)
class ApplicationInputs:
    """What one part of an application works on: the finished set, all test images, and the dataset's own network.

    `stream`: where the application's own draws begin, the same for every method: all are compared on equal terms.
    """

    synthetic: SyntheticSet
    test: Images
    native: str
    stream: Stream
    part: int


ApplicationFunction = Callable[[Trials, ApplicationInputs], dict[str, object]]
"""Measures one part of an application: what its results file holds."""
