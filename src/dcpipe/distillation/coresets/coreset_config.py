"""Coresets: real images as they are, the baselines that a synthetic set must beat."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.errors import UserError
from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.method_axes import CoresetSelectionConfig, MatchingConfig, MethodContext
from dcpipe.params.network_name import has_running_statistics
from dcpipe.params.schema import STRICT, Index, Name, PositiveFloat
from dcpipe.params.work import SetSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.distillation_result import Distiller
    from dcpipe.distillation.episodes import Matching
    from dcpipe.distillation.setting import Setting


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RandomSelection(CoresetSelectionConfig):
    """Uniformly in each class, without replacement."""

    implementation = ("dcpipe.distillation.coresets.real_selection",)

    has_hard_labels = True

    kind: Literal["random"]

    def build(self, step_size: float) -> "Distiller":
        """At random."""
        from dcpipe.distillation.coresets import real_selection

        return partial(real_selection.at_random, step_size=step_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"random": Example({"kind": "random"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Herding(CoresetSelectionConfig):
    """Greedily, so that the mean feature of the chosen stays near the class's.

    Features are those before the last linear layer of one expert at its last kept epoch.
    """

    implementation = ("dcpipe.distillation.coresets.herding",)

    has_hard_labels = True

    kind: Literal["herding"]
    experts: Name = Field(description="the experts file whose networks give the features")
    expert: Index = Field(description="number of the first set's expert, from 0; each set takes the next one")

    @property
    def experts_name(self) -> str | None:
        """The experts file."""
        return self.experts

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Features of batch norms need statistics that were recorded."""
        network, experts = context.network, context.experts
        if network and experts and experts.origin.is_foreign and has_running_statistics(network):
            problem = f"published experts hold no running statistics, which the features of {network} need"
            remedy = "name experts that are trained here, or of a network without batch norm"
            raise location.error("experts", problem, remedy)

    def estimate_work(self, sizes: SetSizes) -> Work:
        """Features of every class, at most 1,024 images at a time."""
        if sizes.network is None:
            return Work()
        batch = min(1024, sizes.train_images_per_class)
        return sizes.network.forward_work(batch).times(sizes.classes * sizes.train_images_per_class / batch)

    def build(self, step_size: float) -> "Distiller":
        """By features."""
        from dcpipe.distillation.coresets import herding

        return partial(herding.herd, first_expert=self.expert, step_size=step_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """By the first expert."""
        return {"herding": Example({"kind": "herding", "experts": "plain", "expert": 0})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WholeDataset(CoresetSelectionConfig):
    """Every training image, whatever the ipc: the ceiling."""

    implementation = ("dcpipe.distillation.coresets.real_selection",)

    has_hard_labels = True

    kind: Literal["whole"]

    @property
    def takes_whole_dataset(self) -> bool:
        """It does."""
        return True

    def estimate_work(self, sizes: SetSizes) -> Work:
        """A copy of every image."""
        return Work(held_bytes=4 * sizes.classes * sizes.train_images_per_class * sizes.numbers)

    def build(self, step_size: float) -> "Distiller":
        """All images."""
        from dcpipe.distillation.coresets import real_selection

        return partial(real_selection.all_images, step_size=step_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"whole": Example({"kind": "whole"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Coreset(MatchingConfig):
    """No matching: real images."""

    implementation = ()  # the selection's

    kind: Literal["none"]
    selection: CoresetSelectionConfig
    step_size: PositiveFloat = Field(description="what evaluation trains with when it asks for the set's own")

    @property
    def experts_name(self) -> str | None:
        """The selection's."""
        return self.selection.experts_name

    @property
    def has_hard_labels(self) -> bool:
        """As the selection says."""
        return self.selection.has_hard_labels

    @property
    def has_outer_loop(self) -> bool:
        """It learns nothing."""
        return False

    @property
    def takes_whole_dataset(self) -> bool:
        """As the selection does."""
        return self.selection.takes_whole_dataset

    def estimate_work(self, sizes: SetSizes) -> Work:
        """The selection's."""
        return self.selection.estimate_work(sizes)

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Nothing is computed but features."""
        compute = context.method.compute
        if compute.backend == "compiled":
            raise location.error_at("compute.backend", "has no effect on a coreset", "write eager")
        if compute.threads != 1:
            raise location.error_at("compute.threads", "has no effect on a coreset", "write 1")
        if compute.precision != "float32":
            raise location.error_at("compute.precision", "has no use for a coreset", "write float32")

    def build(self, _setting: "Setting") -> "Matching":
        """Raises: UserError, for there is nothing to match."""
        raise UserError("a coreset has no matching", where="matching.kind: none", remedy="choose a matching")

    def distiller(self) -> "Distiller":
        """The selection."""
        return self.selection.build(self.step_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Random images."""
        tree = {"kind": "none", "selection": {"kind": "random"}, "step_size": 0.05}
        return {"none": Example(tree, required_params={"outer": None, "overrides": {}})}
