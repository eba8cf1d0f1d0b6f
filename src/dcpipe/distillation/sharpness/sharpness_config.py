"""Outer sharpness: how an image update looks for flat regions of the matching loss.

Every kind but `none` evaluates each episode twice: at the set, for a perturbation that raises the loss, and at the
perturbed set, for the gradient that the images descend.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.method_axes import MethodContext
from dcpipe.params.outer_axes import SharpnessConfig
from dcpipe.params.radius_unit import RadiusUnitKnob
from dcpipe.params.schema import STRICT, Fraction, NonNegativeFloat
from dcpipe.params.shares import ALL_STEPS, SecondPass, steps_of

if TYPE_CHECKING:
    from dcpipe.distillation.sharpness.passes import SharpnessRule

WHOLE = {"second_pass": {"steps": ALL_STEPS, "draws": "shared"}}
STEPS = {"second_pass.steps": "1/5"}
CHANGES = {**STEPS, "radius_unit": "image-norm"}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoSharpness(SharpnessConfig):
    """The gradient at the set itself, one evaluation."""

    implementation = ("dcpipe.distillation.sharpness.none",)

    kind: Literal["none"]

    def build(self) -> "SharpnessRule":
        """One pass."""
        from dcpipe.distillation.sharpness import none

        return none.compute_gradients

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


class TwoPasses(SharpnessConfig):
    """What all kinds with a second pass share."""

    second_pass: SecondPass

    @property
    def inner_step_fractions(self) -> tuple[str, ...]:
        """Of the second pass."""
        return (self.second_pass.steps,)

    def passes_per_update(self, inner_steps: int) -> float:
        """The first, and the second's share."""
        return 1.0 + (steps_of(self.second_pass.steps, inner_steps) / inner_steps if inner_steps else 1.0)

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Passes must have steps to take and to go on from, and fresh draws something to draw."""
        second, inner = self.second_pass, context.method.matching.inner_loop
        if inner is None:
            if second.steps != ALL_STEPS:
                raise location.error(
                    "second_pass.steps", "has no effect: this matching trains no students", f"write {ALL_STEPS}"
                )
            if second.draws == "fresh":
                raise location.error(
                    "second_pass.draws", "has no effect: this matching trains no students", "write shared"
                )
            return
        taken, kept = steps_of(second.steps, inner.steps), inner.kept_steps
        if taken == 0:
            problem = f"{second.steps} of {inner.steps} inner steps is less than one"
            raise location.error("second_pass.steps", problem, f"write at least 1/{inner.steps}")
        if kept < taken < inner.steps:
            problem = f"the second pass starts at step {inner.steps - taken}, but the first keeps only its last {kept}"
            remedy = f"write at most {kept} of the {inner.steps} inner steps, or {ALL_STEPS} for all"
            raise location.error("second_pass.steps", f"{problem} steps", remedy)
        whole = inner.batch is None or inner.batch >= context.num_images
        if second.draws == "fresh" and inner.augmentation == "none" and whole:
            problem = "has no effect: with whole batches and no augmentation nothing is drawn"
            raise location.error("second_pass.draws", problem, "write shared")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sam(TwoPasses):
    """The gradient at S + e, e = radius h / |h| (SAM, arXiv:2010.01412). Norms run over all images at once."""

    implementation = ("dcpipe.distillation.sharpness.sam",)

    kind: Literal["sam"]
    radius: NonNegativeFloat = Field(description="length of the perturbation of all images together, in its unit")
    radius_unit: RadiusUnitKnob
    second_pass: SecondPass

    def build(self) -> "SharpnessRule":
        """Two passes."""
        from dcpipe.distillation.sharpness import sam

        return partial(sam.compute_gradients, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A ball that matters."""
        return {"sam": Example({"kind": "sam", "radius": 0.5, **WHOLE}, changes=CHANGES)}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Gsam(TwoPasses):
    """SAM, less alpha times the part of h at right angles to the gradient there (GSAM, arXiv:2203.08065)."""

    implementation = ("dcpipe.distillation.sharpness.gsam",)

    kind: Literal["gsam"]
    radius: NonNegativeFloat = Field(description="length of the perturbation of all images together, in its unit")
    radius_unit: RadiusUnitKnob
    alpha: NonNegativeFloat = Field(description="weight of the part of h that is taken away")
    second_pass: SecondPass

    def build(self) -> "SharpnessRule":
        """Two passes."""
        from dcpipe.distillation.sharpness import gsam

        return partial(gsam.compute_gradients, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A ball that matters."""
        return {"gsam": Example({"kind": "gsam", "radius": 0.5, "alpha": 0.5, **WHOLE}, changes=CHANGES)}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Asam(TwoPasses):
    """SAM with a ball in units of each pixel's magnitude: e = radius T^2 h / |T h|, T = |S| + offset (ASAM)."""

    implementation = ("dcpipe.distillation.sharpness.asam",)

    kind: Literal["asam"]
    radius: NonNegativeFloat = Field(description="length of the perturbation in units of the magnitudes")
    offset: NonNegativeFloat = Field(description="added to each magnitude, so that a pixel of 0 can move")
    second_pass: SecondPass

    def build(self) -> "SharpnessRule":
        """Two passes."""
        from dcpipe.distillation.sharpness import asam

        return partial(asam.compute_gradients, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A ball that matters."""
        return {"asam": Example({"kind": "asam", "radius": 0.5, "offset": 0.01, **WHOLE}, changes=STEPS)}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Vasso(TwoPasses):
    """SAM along the running mean d <- (1 - theta) d + theta h of the gradients (VaSSO, arXiv:2309.15639)."""

    implementation = ("dcpipe.distillation.sharpness.vasso",)

    kind: Literal["vasso"]
    radius: NonNegativeFloat = Field(description="length of the perturbation of all images together, in its unit")
    radius_unit: RadiusUnitKnob
    theta: Fraction = Field(gt=0, description="weight of the newest gradient in the mean")
    second_pass: SecondPass

    def build(self) -> "SharpnessRule":
        """Two passes."""
        from dcpipe.distillation.sharpness import vasso

        return partial(vasso.compute_gradients, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A ball that matters."""
        return {"vasso": Example({"kind": "vasso", "radius": 0.5, "theta": 0.5, **WHOLE}, changes=CHANGES)}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SmoothingNoise:
    """Gaussian noise on the images of the first pass, drawn anew in every iteration (SATM, section 4.1).

    The standard deviation of image j's noise is, by `unit`: `rms` scale |S_j| / sqrt(D), D its numbers of pixels and
    channels; `norm` scale |S_j|; `variance` the root of scale |S_j|.
    """

    scale: NonNegativeFloat = Field(description="size of the noise, in the unit")
    unit: Literal["rms", "norm", "variance"] = Field(description="what the scale is a multiple of")
    kept: bool = Field(description="true: the second pass sees the same noise; false: it only smooths the perturbation")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Satm(TwoPasses):
    """Sharpness-aware trajectory matching: SAM whose perturbation comes from smoothed images (SATM)."""

    implementation = ("dcpipe.distillation.sharpness.satm",)

    kind: Literal["satm"]
    radius: NonNegativeFloat = Field(description="length of the perturbation of all images together, in its unit")
    radius_unit: RadiusUnitKnob
    noise: SmoothingNoise
    second_pass: SecondPass

    def build(self) -> "SharpnessRule":
        """Two passes."""
        from dcpipe.distillation.sharpness import satm

        return partial(satm.compute_gradients, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A ball that matters."""
        noise = {"scale": 0.1, "unit": "rms", "kept": False}
        return {"satm": Example({"kind": "satm", "radius": 0.5, "noise": noise, **WHOLE}, changes=CHANGES)}
