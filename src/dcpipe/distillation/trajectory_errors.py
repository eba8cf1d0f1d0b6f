"""How far a student that is never put back on its expert's path goes astray, segment by segment.

In distillation a student starts each segment where the expert was; trained on the finished set, it goes on from where
it is itself. What parts the two is FTD's accumulated trajectory error, and equation 8 says what it is made of.

Source: FTD, arXiv:2211.11004, equations 6 to 8. Legend: P parameters.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

Train = Callable[[Tensor, int], Tensor]
"""(parameters (P), number of the segment) -> those after training on the set; a segment always has the same draws."""


@dataclass(frozen=True, slots=True)
class SegmentErrors:
    """Errors (P each) at the end of a segment; `before_P` is the accumulated one at its start.

    `accumulated_P`: the student that went on, less the expert. `matching_P` (equation 6): a student that started at the
    expert's checkpoint, less the expert. `initialisation_P` (equation 7): what starting elsewhere changed in the way of
    the student.
    """

    before_P: Tensor
    accumulated_P: Tensor
    matching_P: Tensor
    initialisation_P: Tensor


def segment_errors(train: Train, expert: Sequence[Tensor]) -> Iterator[SegmentErrors]:
    """The errors of each segment of an expert's checkpoints (P each, the first one untrained), one after the other.

    accumulated = before + initialisation + matching, which is equation 8.
    """
    student_P = expert[0]
    for segment, (start_P, target_P) in enumerate(pairwise(expert)):
        fresh_P, gone_on_P = train(start_P, segment), train(student_P, segment)
        way_P, own_way_P = fresh_P - start_P, gone_on_P - student_P
        yield SegmentErrors(student_P - start_P, gone_on_P - target_P, fresh_P - target_P, own_way_P - way_P)
        student_P = gone_on_P
