"""One measure for every method along its distillation: loss, exact gradient and sharpness on the same draws each time.

The history notes what a method itself descends: smoothed, truncated or pruned gradients, each on other segments. These
numbers compare, between methods and between iterations. They alter no update.
"""

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from dcpipe.distillation.labels.label_rules import LabelRule
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.sharpness.passes import ascent
from dcpipe.distillation.synthetic_set import SyntheticSet

if TYPE_CHECKING:
    from dcpipe.distillation.dynamics.dynamics_config import ExactDynamics

Dynamics = Callable[[int, SyntheticSet], dict[str, float]]
"""(iteration, the set before it) -> what the history notes of it beside the rest."""


def no_dynamics(_iteration: int, _synthetic: SyntheticSet) -> dict[str, float]:
    """No measure."""
    return {}


def exact_dynamics(config: "ExactDynamics", setting: Setting, labels: LabelRule) -> Dynamics:
    """Means over the same draws at every so many iterations.

    `exact_loss` L(S); `exact_gradient_norm` |h|, h the exact gradient of the images; `exact_sharpness`
    L(S + radius h / |h|) - L(S), which SATM's outer loop descends. The set is the images themselves, not their average.
    """
    own = replace(setting, stream=setting.stream.child("dynamics"), facts={})
    matching = setting.method.matching.with_exact_gradient().build(own)

    def measure(iteration: int, synthetic: SyntheticSet) -> dict[str, float]:
        if iteration % config.every:
            return {}
        losses, norms, rises = list[float](), list[float](), list[float]()
        for draw in range(config.draws):
            episode = matching.draw_episode(draw, len(synthetic.images_NCHW))
            labelled = labels.with_labels(synthetic, episode)
            result = episode.evaluate(labelled)
            h_NCHW = result.gradients.images
            climbed_NCHW = labelled.images_NCHW + ascent(labelled.images_NCHW, h_NCHW, config.radius)
            climbed = episode.evaluate(replace(labelled, images_NCHW=climbed_NCHW))
            losses.append(float(result.loss))
            norms.append(float(h_NCHW.norm()))
            rises.append(float(climbed.loss - result.loss))
        return {"exact_loss": fmean(losses), "exact_gradient_norm": fmean(norms), "exact_sharpness": fmean(rises)}

    return measure
