"""First images: what the outer loop starts from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, Need, ValueLocation
from dcpipe.params.method_axes import MethodContext
from dcpipe.params.outer_axes import FirstImagesConfig
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.distillation.first_images.initial_images import InitialImages


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RealImages(FirstImagesConfig):
    """Real images of each class, uniformly without replacement."""

    implementation = ("dcpipe.distillation.first_images.initial_images",)

    kind: Literal["real"]

    def build(self) -> "InitialImages":
        """Real images."""
        from dcpipe.distillation.first_images import initial_images

        return initial_images.real

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"real": Example({"kind": "real"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoiseImages(FirstImagesConfig):
    """Standard normal noise (DC)."""

    implementation = ("dcpipe.distillation.first_images.initial_images",)

    kind: Literal["noise"]

    def build(self) -> "InitialImages":
        """Noise."""
        from dcpipe.distillation.first_images import initial_images

        return initial_images.noise

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"noise": Example({"kind": "noise"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CorrectImages(FirstImagesConfig):
    """Real images that experts classify correctly (DATM)."""

    implementation = ("dcpipe.distillation.first_images.correct_images",)
    needs = frozenset({Need.EXPERTS})
    all_classified = True

    kind: Literal["correct"]

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Experts look at the images one by one."""
        context.refuse_batch_norm(location)

    def rehearsal_substitute(self) -> FirstImagesConfig:
        """Real images: experts that are noise classify nothing correctly."""
        return RealImages(kind="real")

    def build(self) -> "InitialImages":
        """Real images that experts classify correctly."""
        from dcpipe.distillation.first_images import correct_images

        return correct_images.correctly_classified_images

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"correct": Example({"kind": "correct"})}
