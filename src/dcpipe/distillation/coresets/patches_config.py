"""Mosaics of confident patches: the knobs."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.method_axes import CoresetSelectionConfig, MethodContext
from dcpipe.params.network_name import has_running_statistics
from dcpipe.params.schema import STRICT, Count, Index, Name
from dcpipe.params.work import SetSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.distillation_result import Distiller


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConfidentPatches(CoresetSelectionConfig):
    """Mosaics of the patches of real images that a teacher is surest of, with its soft labels (RDED-like).

    Nothing is optimised: a step up from random images that costs a few forward passes.
    """

    implementation = ("dcpipe.distillation.coresets.patches",)

    kind: Literal["confident-patches"]
    experts: Name = Field(description="the experts file whose networks are the teachers")
    expert: Index = Field(description="number of the first set's teacher, from 0; each set takes the next one")
    candidates: Count = Field(description="real images of a class that are looked at; fewer where it has fewer")
    crops: Count = Field(description="random crops of each, of which the surest one counts")
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = Field(description="least share of an image's area in a crop")
    grid: Count = Field(description="patches along a side of an image: 2 puts four on it")
    labels: Literal["teacher", "classes"] = Field(description="the teacher's logits of a whole image, or its class")

    @property
    def experts_name(self) -> str | None:
        """The experts file."""
        return self.experts

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Patches must fill an image, and there must be as many candidates as patches."""
        size, wanted = context.facts.image_size, self.grid**2 * context.ipc
        if size % self.grid:
            problem = f"{self.grid} patches do not divide a side of {size} pixels"
            raise location.error("grid", problem, "write a number that does")
        if self.candidates < wanted:
            problem = f"{self.candidates} candidates are fewer than the {wanted} patches of a class"
            raise location.error("candidates", problem, f"write at least {wanted}")
        left = context.dataset.train_images_per_class
        if left is not None and wanted > left:
            problem = f"{wanted} patches of a class are more than its {left} training images"
            raise location.error("grid", problem, "lower it, or ask for fewer images per class")
        if self.smallest_crop == 1 and self.crops > 1:
            raise location.error(
                "crops", "has no effect: every crop is the whole image", "write 1, or lower smallest_crop"
            )
        context.refuse_unknown_expert(location, "expert", self.expert)
        network, experts = context.network, context.experts
        if network and experts and experts.origin.is_foreign and has_running_statistics(network):
            problem = f"published experts hold no running statistics, which {network} needs"
            raise location.error("experts", problem, "name experts that are trained here, or without batch norm")

    def estimate_work(self, sizes: SetSizes) -> Work:
        """Every crop of every candidate goes through the teacher once, at most 1,024 at a time."""
        if sizes.network is None:
            return Work()
        looked_at = sizes.classes * min(self.candidates, sizes.train_images_per_class) * self.crops
        return sizes.network.forward_work(min(1024, looked_at)).times(max(1.0, looked_at / 1024))

    def build(self, step_size: float) -> "Distiller":
        """The mosaics."""
        from dcpipe.distillation.coresets import patches

        return partial(patches.confident_patches, config=self, step_size=step_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Four patches on an image."""
        tree = {"kind": "confident-patches", "experts": "plain", "expert": 0, "candidates": 8, "crops": 3}
        return {"confident-patches": Example({**tree, "smallest_crop": 0.5, "grid": 2, "labels": "teacher"})}
