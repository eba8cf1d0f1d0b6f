"""Architecture search with a distilled set as the proxy: the test accuracy of every candidate that is trained on it.

Source: FTD (arXiv:2211.11004), section 4.4 and table 5, after dataset condensation. The rankings are compared in the
report.
"""

from collections.abc import Callable, Sequence

from dcpipe.errors import NonFiniteError
from dcpipe.evaluation.applications.trials import ApplicationInputs, Trials
from dcpipe.progress import track

Candidates = Callable[[int, int], Sequence[str]]
"""(height and width of the images, part) -> the names of the networks that the part trains."""


def measure_candidates(candidates: Candidates, trials: Trials, material: ApplicationInputs) -> dict[str, object]:
    """The accuracies of a part's candidates; null where training diverged, which ranks below every number."""
    results = []
    for name in track(candidates(material.test.size, material.part), "candidates"):
        try:
            found = list(trials.accuracies(name, name, material.synthetic, material.test))
        except NonFiniteError:
            found = None
        results.append({"network": name, "accuracies": found})
    return {"candidates": results}
