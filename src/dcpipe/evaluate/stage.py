"""The evaluate stage: how well networks do that were trained on one synthetic set. The only reader of test data."""

import json
import statistics
from typing import cast

from dcpipe import device
from dcpipe.data import store
from dcpipe.data.store import Images
from dcpipe.distill import synthetic_set
from dcpipe.distill.synthetic_set import SyntheticSet
from dcpipe.evaluate import protocol, selection
from dcpipe.evaluate.accuracy import accuracy
from dcpipe.models.build import build
from dcpipe.params.evaluation import Evaluation
from dcpipe.progress import track
from dcpipe.random import Stream
from dcpipe.task import Task, stop, stop_asked


class Measurer:
    """Trains networks on a set and measures them; each accuracy is kept in the job's state as it comes."""

    def __init__(self, task: Task, what: Evaluation, network: str, parts: dict[str, Images]) -> None:
        some = parts["test"]
        self._model = build(network, channels=some.channels, image_size=some.size, classes=some.classes)
        self._task, self._what, self._parts = task, what, parts
        words = task.job.wildcards
        names = (words["dataset"], words["method"], int(words["ipc"]), int(words["set"]), network)
        self._stream = Stream.root(what.seed, "evaluate", *names)
        saved = task.state.load("accuracies")
        self._known = cast(dict[str, float], saved[1]) if saved else {}

    def __call__(self, on: str, iteration: int, synthetic: SyntheticSet) -> list[float]:
        """One accuracy a network, in percent."""
        networks = range(self._what.networks)
        return [self._one(on, iteration, index, synthetic) for index in track(networks, self._task.job.name)]

    def _one(self, on: str, iteration: int, index: int, synthetic: SyntheticSet) -> float:
        key = f"{on}/{iteration}/{index}"
        if key not in self._known:
            target = self._parts[on].images_NCHW.device
            # the same networks for every iteration's set: sets are compared on equal terms, and the finished
            # set scores the same whether it was chosen or the last
            stream = self._stream.child("network", index)
            theta = protocol.train(self._model, synthetic.to(target), self._what, stream)
            self._known[key] = accuracy(self._model, theta, self._parts[on])
            asked = stop_asked()  # once: a signal that comes between saving and leaving waits for the next turn
            if asked or self._task.state.due():
                self._task.state.save("accuracies", {}, self._known)
            if asked:
                stop()
        return self._known[key]


def run(task: Task) -> None:
    """Measure, and write every single accuracy with mean and population standard deviation."""
    what, network = task.section("evaluation", Evaluation), task.section("network", str)
    target = device.choose()
    whitened_by = task.input("whitening") if "whitening" in task.job.inputs else None
    parts: dict[str, Images] = {"test": store.load(task.input("test"), "test", target, whitened_by)}
    if what.selection == "val-best":
        parts["val"] = store.load(task.input("train"), "val", target, whitened_by)
    measure = Measurer(task, what, network, parts)
    path = task.input("synthetic")
    if what.selection == "last":
        outcome = selection.last(synthetic_set.load(path), measure)
    else:
        outcome = selection.among(synthetic_set.load_snapshots(path), what, measure)
    scores = {
        "accuracies": outcome.accuracies,
        "mean": statistics.fmean(outcome.accuracies),
        "std": statistics.pstdev(outcome.accuracies),
        "n": len(outcome.accuracies),
        "selection": what.selection,
        "network": network,
        **({} if outcome.iteration is None else {"iteration": outcome.iteration}),
    }
    task.output("scores").write_text(json.dumps(scores, indent=1) + "\n")
    task.facts |= {"protocol": task.job.wildcards["evaluation"], "test_images": len(parts["test"].labels_N)}
