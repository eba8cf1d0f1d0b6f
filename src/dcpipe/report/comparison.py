"""Whether one method does better than another, or whether their difference is noise.

Sets are the clusters: networks that are trained on one set share its luck, so a set counts once, by its mean. Sets of
two methods share no draw (every draw is named after its method), so they are not paired by number: that would halve the
degrees of freedom and gain nothing. What both methods do share is paired: the dataset, the images per class, the
protocol, and each network, by which several networks are compared at once.

Nothing here knows artifacts: the input are accuracies in percent, one sequence for each synthetic set.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dcpipe.errors import UserError

TIE_STANDARD_ERRORS = 2.0  # standard errors from which a difference counts as one

SetScores = Sequence[Sequence[float]]
"""For each synthetic set the accuracies, in percent, of the networks trained on it."""

Verdict = Literal["above", "below", "tie", "unknown"]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one mean is above another, and how sure that is.

    `error` is the standard error of the difference in points: over set means (sets are the clusters) where both
    sides have two sets or more, else over single networks, which leaves out the spread between sets; None where
    a side has one network. No variance is pooled.
    """

    points: float
    error: float | None
    sample_kind: Literal["sets", "networks"]
    count: int  # the smaller number of sets, or of networks

    @property
    def standard_errors(self) -> float | None:
        """The difference in standard errors; None if no spread is known."""
        return self.points / self.error if self.error else None

    @property
    def is_clearly_above(self) -> bool:
        """Whether it is two standard errors or more above."""
        return self.verdict == "above"

    @property
    def verdict(self) -> Verdict:
        """A tie is a difference below two standard errors, in either direction; unknown is one without a spread."""
        if self.standard_errors is None:
            return "unknown"
        if abs(self.standard_errors) < TIE_STANDARD_ERRORS:
            return "tie"
        return "above" if self.points > 0 else "below"


def difference(ours: SetScores, theirs: SetScores) -> Difference:
    """How far the mean of all our networks is above theirs, with one network architecture.

    Raises: UserError where one side has no accuracies.
    """
    return networks_difference({"": ours}, {"": theirs})


def networks_difference(ours: Mapping[str, SetScores], theirs: Mapping[str, SetScores]) -> Difference:
    """The same, averaged over the architectures that both were tested with: a set counts once, by its mean over them.

    Each mapping has the same sets in the same order for every architecture.
    Raises: UserError where no architecture is common to both, or one side has no accuracies.
    """
    common = [name for name in ours if name in theirs]
    sides = [[side[name] for name in common] for side in (ours, theirs)]
    if not common:
        networks = " and ".join(", ".join(side) for side in (ours, theirs))
        problem = f"two methods that are compared have no network in common: {networks}"
        raise UserError(problem, remedy="evaluate both with one protocol and network")
    for name, side in zip(("first", "second"), sides, strict=True):
        if not all(sets and all(sets) for sets in side):
            problem = f"the {name} of the two methods that are compared lacks accuracies"
            raise UserError(problem, remedy="evaluate all of its sets")
    points = _mean_of_all(sides[0]) - _mean_of_all(sides[1])
    if all(len(sets) > 1 for side in sides for sets in side):
        samples = [[_set_means(side)] for side in sides]
        kind: Literal["sets", "networks"] = "sets"
    else:
        samples = [[[value for one in sets for value in one] for sets in side] for side in sides]
        kind = "networks"
    count = min(len(sample) for side in samples for sample in side)
    return Difference(points, _difference_error(samples) if count > 1 else None, kind, count)


def standard_error(scores: SetScores) -> float | None:
    """Of a mean, in points: over set means where there are two sets or more, else over networks; None for one."""
    values = _set_means([scores]) if len(scores) > 1 else [value for one in scores for value in one]
    return math.sqrt(statistics.variance(values) / len(values)) if len(values) > 1 else None


def _mean_of_all(side: Sequence[SetScores]) -> float:
    return statistics.fmean(statistics.fmean(value for one in sets for value in one) for sets in side)


def _set_means(side: Sequence[SetScores]) -> list[float]:
    """The mean of each set over all architectures."""
    return [statistics.fmean(map(statistics.fmean, same)) for same in zip(*side, strict=True)]


def _difference_error(samples: Sequence[Sequence[Sequence[float]]]) -> float:
    """Of the difference of two sides, each the mean of independent samples."""
    variances = [statistics.variance(sample) / len(sample) / len(side) ** 2 for side in samples for sample in side]
    return math.sqrt(sum(variances))
