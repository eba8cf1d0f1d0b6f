"""The laws of a class's rows: one sort of all labels finds what a look at every label finds, class by class."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from dcpipe.distillation.synthetic_set import drawn_class_rows, drawn_rows, rows_by_class
from dcpipe.random import Stream


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(7, 9), st.integers(1, 5))
def test_the_index_has_every_row_of_every_class_and_draws_alike(labels: list[int], classes: int, ipc: int) -> None:
    labels_N, stream = torch.tensor(labels, dtype=torch.int64), Stream.root(0, "law")
    index = rows_by_class(labels_N, classes)
    assert len(index) == classes
    for label, rows in enumerate(index):
        assert rows.tolist() == [row for row, one in enumerate(labels) if one == label]
        assert torch.equal(drawn_rows(rows, label, ipc, stream), drawn_class_rows(labels_N, label, ipc, stream))
