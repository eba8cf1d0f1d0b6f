"""A set that came from elsewhere: the knobs."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.dataset import Digest
from dcpipe.params.method_axes import MethodContext, SelectionConfig
from dcpipe.params.schema import STRICT, FiniteFloat, Name, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.distillation.result import Distiller

FOLDER = "sets"  # below the data root: sets/<name>/


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImportedSet(SelectionConfig):
    """A set that came from elsewhere, in the layout of its publishers; `dcpipe import-set` writes such a preset."""

    implementation = ("dcpipe.distillation.coresets.imported_set",)

    kind: Literal["imported"]
    name: Name = Field(description="the folder of its files, in sets/ of the data root")
    digest: Digest = Field(description="digest of the files, by names, sizes and sums; `dcpipe import-set` prints it")
    whitening: Literal["none", "zca"] = Field(description="whether its numbers were whitened, as its makers say")
    mean: list[FiniteFloat] | None = Field(
        description="mean of each channel that its makers subtracted; null: the dataset's own"
    )
    std: list[PositiveFloat] | None = Field(
        description="deviation of each channel that its makers divided by; null: the dataset's own"
    )

    def check(self, at: ValueLocation, context: MethodContext) -> None:
        """Whitened numbers need a dataset that is whitened in the same way; constants are two, one number a channel."""
        if self.whitening == "zca":
            if context.dataset.whitening.fit_threads is None:
                problem = "this dataset is not whitened, so there is no whitening that its numbers could be of"
                raise at.error("whitening", problem, "choose the dataset's variant with whitening.kind: zca")
            if self.mean is not None or self.std is not None:
                key = "mean" if self.mean is not None else "std"
                raise at.error(key, "has no effect on whitened numbers", "write null")
        if (self.mean is None) != (self.std is None):
            missing = "mean" if self.mean is None else "std"
            raise at.error(missing, "stands alone", "write both, or neither")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != context.facts.channels:
                problem = f"has {len(values)} numbers; images have {context.facts.channels} channels"
                raise at.error(key, problem, "write one for each channel")

    def build(self, step_size: float) -> "Distiller":
        """As it is."""
        from dcpipe.distillation.coresets import imported_set

        return partial(imported_set.imported, config=self, step_size=step_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Files of no such digest."""
        tree = {"kind": "imported", "name": "theirs", "digest": f"sha256:{'0' * 64}", "whitening": "none"}
        return {"imported": Example({**tree, "mean": None, "std": None})}
