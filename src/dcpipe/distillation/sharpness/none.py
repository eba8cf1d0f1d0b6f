"""No outer sharpness: one evaluation, at the set itself."""

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.sharpness.passes import OuterAnswer, one_pass
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.random import Stream


def evaluate(
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    memory: Tensor | None,  # noqa: ARG001 (of every rule)
    stream: Stream,  # noqa: ARG001 (of every rule)
) -> OuterAnswer:
    """The matching's own answer."""
    answer, trace = one_pass(episode, synthetic)
    return OuterAnswer(answer.loss, answer.gradients, trace, answer.gradients.images)
