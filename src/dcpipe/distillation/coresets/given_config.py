"""A set that is given: the knobs."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.dataset import Digest
from dcpipe.params.method_axes import CoresetSelectionConfig
from dcpipe.params.schema import STRICT, Name

if TYPE_CHECKING:
    from dcpipe.distillation.distillation_result import Distiller


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GivenSet(CoresetSelectionConfig):
    """A set in a file, whoever made it; it has as many images as the file holds."""

    implementation = ("dcpipe.distillation.coresets.given_set",)

    kind: Literal["given"]
    name: Name = Field(description="the file in the data root, without its ending .safetensors")
    digest: Digest = Field(description="digest of the file: sha256: and 64 hex digits")

    def build(self, step_size: float) -> "Distiller":
        """As it is."""
        from dcpipe.distillation.coresets import given_set

        return partial(given_set.load_given_set, name=self.name, digest=self.digest, step_size=step_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A file of this name."""
        return {"given": Example({"kind": "given", "name": "theirs", "digest": f"sha256:{'0' * 64}"})}
