"""The evaluate stage: how well networks do that were trained on one synthetic set. The only reader of test data."""

import json
import statistics

from dcpipe import device
from dcpipe.data import store
from dcpipe.data.store import Images
from dcpipe.evaluation import selection
from dcpipe.evaluation.accuracy_measurer import AccuracyMeasurer
from dcpipe.evaluation.selection import SelectionResult
from dcpipe.params.evaluation import Evaluation
from dcpipe.workflow.task import Task


def run(task: Task) -> None:
    """Measure, and write every single accuracy with mean and population standard deviation."""
    config, network = task.section("evaluation", Evaluation), task.section("network", str)
    target = device.choose()
    whitened_by = task.input("whitening") if "whitening" in task.job.inputs else None
    parts: dict[str, Images] = {"test": store.load(task.input("test"), "test", target, whitened_by)}
    if config.selection.needs_validation or config.learning_rate.needs_validation:
        parts["val"] = store.load(task.input("train"), "val", target, whitened_by)
    measure = AccuracyMeasurer(task, config, network, parts)
    outcome = config.selection.build()(task.input("synthetic"), measure)
    scores = {
        "accuracies": outcome.accuracies,
        "mean": statistics.fmean(outcome.accuracies),
        "std": statistics.pstdev(outcome.accuracies),
        "n": len(outcome.accuracies),
        "selection": config.selection.reported_as,
        "network": network,
        **({} if outcome.iteration is None else {"iteration": outcome.iteration}),
        **(
            {"curve": [{"iteration": at, "accuracies": values} for at, values in outcome.curve]}
            if outcome.curve
            else {}
        ),
        **_rate_search_scores(measure, outcome),
        **_unaveraged_scores(measure, outcome),
    }
    task.output("scores").write_text(json.dumps(scores, indent=1) + "\n")
    task.facts |= {"protocol": task.job.wildcards["evaluation"], "test_images": len(parts["test"].labels_N)}


def _rate_search_scores(measure: AccuracyMeasurer, outcome: SelectionResult) -> dict[str, object]:
    """The selected set's rate, chosen on validation images, and the accuracy at each rate; empty without a search."""
    search = measure.searches.get(_selected_iteration(outcome))
    if search is None:
        return {}
    means = [{"learning_rate": rate, "validation_mean": mean} for rate, mean in search.means.items()]
    return {"learning_rate": search.rate, "searched": means}


def _unaveraged_scores(measure: AccuracyMeasurer, outcome: SelectionResult) -> dict[str, object]:
    """Accuracies of the same networks on the images before averaging; empty where they were not trained on them."""
    accuracies = measure.unaveraged.get(_selected_iteration(outcome))
    return {"unaveraged_accuracies": accuracies} if accuracies else {}


def _selected_iteration(outcome: SelectionResult) -> int:
    """The iteration of the set that counts, as the measurer knows it."""
    return selection.LAST if outcome.iteration is None else outcome.iteration
