"""Networks trained on one set: one after the other, or side by side."""

from collections.abc import Sequence

from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.evaluation import protocol, side_by_side
from dcpipe.evaluation.protocol import TrainedNetwork
from dcpipe.experts.step import PassFunction, forward_backward
from dcpipe.models.flat import FlatModel
from dcpipe.params.evaluation import Evaluation
from dcpipe.random import Stream


def train_group(
    model: FlatModel,
    synthetic: SyntheticSet,
    config: Evaluation,
    rate: float,
    streams: Sequence[Stream],
    starts: Sequence[TrainedNetwork] | None = None,
    run_pass: PassFunction = forward_backward,
) -> Sequence[TrainedNetwork]:
    """One network a stream, at `rate`, fresh or going on from its start; at once where the protocol says so.

    Raises: NonFiniteError if training diverged (values not finite).
    """
    if config.side_by_side > 1:
        return side_by_side.train(model, synthetic, config, rate, streams, starts)
    firsts: Sequence[TrainedNetwork | None] = starts or [None] * len(streams)
    pairs = zip(streams, firsts, strict=True)
    return [protocol.train(model, synthetic, config, rate, stream, start, run_pass) for stream, start in pairs]
