"""No outer sharpness: one evaluation, at the set itself."""

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.sharpness.passes import SharpnessResult, one_pass
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.random import Stream


def compute_gradients(
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    carried_state: Tensor | None,  # noqa: ARG001 (of every rule)
    stream: Stream,  # noqa: ARG001 (of every rule)
) -> SharpnessResult:
    """The matching's own result."""
    result, trace = one_pass(episode, synthetic)
    return SharpnessResult(result.loss, result.gradients, trace, result.gradients.images)
