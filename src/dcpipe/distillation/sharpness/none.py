"""No outer sharpness: one evaluation, at the set itself."""

from torch import Tensor

from dcpipe.distillation.matching.common import Episode, Matching
from dcpipe.distillation.sharpness.common import Found
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.params.sharpness import NoSharpness
from dcpipe.random import Stream


def evaluate(
    _what: NoSharpness,
    matching: Matching,
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    memory: Tensor | None,  # noqa: ARG001
    stream: Stream,  # noqa: ARG001
) -> Found:
    """The matching's own answer."""
    gradients, trace = matching.evaluate(synthetic, episode)
    return Found(gradients, trace, gradients.images)
