"""A set that came from elsewhere: the knobs."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.dataset import Digest
from dcpipe.params.method_axes import CoresetSelectionConfig, MethodContext
from dcpipe.params.schema import STRICT, FiniteFloat, Name, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.distillation.distillation_result import Distiller

FOLDER = "sets"  # below the data root: sets/<name>/


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImportedSet(CoresetSelectionConfig):
    """A set that came from elsewhere, in the layout of its publishers; `dcpipe import-set` writes such a preset."""

    implementation = ("dcpipe.distillation.coresets.imported_set",)

    kind: Literal["imported"]
    name: Name = Field(description="the folder of its files, in sets/ of the data root")
    digest: Digest = Field(description="digest of the files, by names, sizes and sums; `dcpipe import-set` prints it")
    whitening: Literal["none", "zca"] = Field(description="whether its numbers were whitened, as its authors say")
    mean: list[FiniteFloat] | None = Field(
        description="mean of each channel that its authors subtracted; null: the dataset's own"
    )
    std: list[PositiveFloat] | None = Field(
        description="standard deviation of each channel that its authors divided by; null: the dataset's own"
    )

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Whitened numbers need a dataset that is whitened in the same way; mean and std have a number per channel."""
        if self.whitening == "zca":
            if context.dataset.whitening.fit_threads is None:
                problem = "this dataset is not whitened, so whitened images do not fit it"
                raise location.error("whitening", problem, "choose the dataset's variant with whitening.kind: zca")
            if self.mean is not None or self.std is not None:
                key = "mean" if self.mean is not None else "std"
                raise location.error(key, "has no effect on whitened numbers", "write null")
        if (self.mean is None) != (self.std is None):
            missing = "mean" if self.mean is None else "std"
            raise location.error(missing, "is null, and the other is not", "write mean and std, or null for both")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != context.facts.channels:
                problem = f"has {len(values)} numbers; images have {context.facts.channels} channels"
                raise location.error(key, problem, "write one for each channel")

    def build(self, step_size: float) -> "Distiller":
        """As it is."""
        from dcpipe.distillation.coresets import imported_set

        return partial(imported_set.load_imported_set, config=self, step_size=step_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Files of no such digest."""
        tree = {"kind": "imported", "name": "theirs", "digest": f"sha256:{'0' * 64}", "whitening": "none"}
        return {"imported": Example({**tree, "mean": None, "std": None})}
