"""Laws of the split, on the real digits."""

from itertools import combinations

import numpy as np
import pytest

from dcpipe.data import digits
from dcpipe.data.split import Indices, stratified
from dcpipe.random import Stream

STREAM = Stream.root(0, "split", "digits")
COUNTS = {"test": 80, "val": 16, "train": None}


def _split(counts: dict[str, int | None], stream: Stream = STREAM) -> dict[str, Indices]:
    return stratified(digits.load_digits()[1], counts, stream)


def test_parts_are_disjoint_and_cover_all_where_one_takes_the_rest() -> None:
    parts = _split(COUNTS)
    for a, b in combinations(parts.values(), 2):
        assert not set(a) & set(b)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1797))


def test_each_part_has_its_number_of_every_class_and_ascends() -> None:
    labels = digits.load_digits()[1]
    parts = _split({"test": 80, "val": 16, "train": 30})
    for name, count in (("test", 80), ("val", 16), ("train", 30)):
        assert np.bincount(labels[parts[name]]).tolist() == [count] * 10
        assert (np.diff(parts[name]) > 0).all()


def test_a_larger_later_part_holds_the_smaller_and_moves_no_earlier_one() -> None:
    small, large = _split({"test": 80, "val": 8, "train": 5}), _split({"test": 80, "val": 8, "train": 50})
    assert small["test"].tolist() == large["test"].tolist()
    assert small["val"].tolist() == large["val"].tolist()
    assert set(small["train"]) < set(large["train"])


def test_test_images_are_the_same_with_and_without_validation() -> None:
    without = _split({**COUNTS, "val": 0})
    assert without["test"].tolist() == _split(COUNTS)["test"].tolist()
    assert len(without["val"]) == 0


def test_each_class_is_shuffled_by_its_own_name() -> None:
    """Images of other classes, and their number, change nothing within a class."""
    labels = digits.load_digits()[1]
    alone = stratified(np.where(labels == 3, labels, 99), {"a": 40}, STREAM)["a"]
    together = _split({"a": 40})["a"]
    assert set(alone[labels[alone] == 3]) == set(together[labels[together] == 3])


@pytest.mark.parametrize("other", [Stream.root(1, "split", "digits"), Stream.root(0, "split", "mnist")])
def test_another_seed_or_source_is_another_split(other: Stream) -> None:
    assert _split(COUNTS)["test"].tolist() != _split(COUNTS, other)["test"].tolist()
