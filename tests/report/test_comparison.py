"""Laws of comparisons: sets are clusters, networks are paired, a tie is a tie from both sides."""

import math
import statistics

import numpy as np
import pytest

from dcpipe.errors import UserError
from dcpipe.report.comparison import Difference, difference, networks_difference

OURS = [[60.0, 64.0], [66.0, 70.0], [61.0, 63.0]]
THEIRS = [[50.0, 50.0], [52.0, 52.0]]


def test_the_standard_error_is_that_of_independent_set_means() -> None:
    found = difference(OURS, THEIRS)
    ours, theirs = [62.0, 68.0, 62.0], [50.0, 52.0]
    assert found.points == pytest.approx(64.0 - 51.0)
    assert found.error == pytest.approx(math.sqrt(statistics.variance(ours) / 3 + statistics.variance(theirs) / 2))
    assert (found.sample_kind, found.count, found.verdict) == ("sets", 2, "above")


def test_both_sides_see_the_same_difference_with_the_other_sign() -> None:
    there, back = difference(OURS, THEIRS), difference(THEIRS, OURS)
    assert (back.points, back.error, back.sample_kind) == (-there.points, there.error, there.sample_kind)
    assert (there.verdict, back.verdict) == ("above", "below")


def test_two_standard_errors_are_no_tie_and_anything_less_is() -> None:
    assert [Difference(points, 1.0, "sets", 3).verdict for points in (2.0, 1.99, 0.0, -1.99, -2.0)] == [
        *("above", "tie", "tie", "tie", "below"),
    ]


def test_one_network_a_side_leaves_the_verdict_unknown() -> None:
    found = difference([[50.0]], [[90.0]])
    assert (found.error, found.verdict) == (None, "unknown")


def test_a_network_that_is_hard_for_both_does_not_widen_the_error() -> None:
    easy, hard = [[80.0, 82.0], [82.0, 84.0]], [[20.0, 22.0], [22.0, 24.0]]
    above = [[[value + 5 for value in one] for one in sets] for sets in (easy, hard)]
    both = networks_difference(dict(zip("ab", above, strict=True)), {"a": easy, "b": hard})
    alone = difference(above[0], easy)
    assert both == alone, "the spread between networks is common to both methods"


def test_a_set_that_is_lucky_with_every_network_counts_once() -> None:
    one = [[60.0, 62.0], [70.0, 72.0]]
    many = networks_difference(dict.fromkeys("abcde", one), dict.fromkeys("abcde", THEIRS))
    assert many == difference(one, THEIRS), "five networks on the same two sets are still two sets"


def test_networks_that_one_side_lacks_are_left_out() -> None:
    assert networks_difference({"a": OURS, "b": THEIRS}, {"a": THEIRS, "c": OURS}) == difference(OURS, THEIRS)
    with pytest.raises(UserError, match="have no network in common: a and b; evaluate both with one protocol"):
        networks_difference({"a": OURS}, {"b": THEIRS})
    with pytest.raises(UserError, match="the second of the two methods that are compared lacks accuracies"):
        difference(OURS, [[]])


def test_noise_alone_is_called_a_tie_most_of_the_time() -> None:
    draw, ties = np.random.default_rng(0), 0
    for _ in range(500):
        sides = draw.normal(90, 1, (2, 8, 1)) + draw.normal(0, 1, (2, 8, 5))
        ties += difference(*sides.tolist()).verdict == "tie"
    assert 0.91 < ties / 500 < 0.97, "two standard errors of 8 sets per side are 93.5 % of Student's t"
