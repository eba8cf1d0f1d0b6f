"""Networks trained on one set: one after the other, or side by side."""

from collections.abc import Sequence

from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.evaluation import protocol, side_by_side
from dcpipe.evaluation.protocol import TrainedNetwork
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
) -> Sequence[TrainedNetwork]:
    """One network a stream, at `rate`, fresh or going on from its start; at once where the protocol says so.

    Raises: NonFiniteError if training diverged (values not finite).
    """
    if config.side_by_side > 1:
        return side_by_side.train(model, synthetic, config, rate, streams, starts)
    if starts is None:
        return [protocol.train(model, synthetic, config, rate, stream) for stream in streams]
    pairs = zip(streams, starts, strict=True)
    return [protocol.train(model, synthetic, config, rate, stream, start) for stream, start in pairs]
