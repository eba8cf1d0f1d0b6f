"""Where experts come from: trained here, or published by others."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.dataset import Digest
from dcpipe.params.experts import OriginConfig
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.workflow.task import Task


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainedExperts(OriginConfig):
    """The experts stage trains them."""

    implementation = ("dcpipe.experts.training_run",)

    kind: Literal["trained"]

    def build(self) -> "Callable[[Task], None]":
        """Training."""
        from dcpipe.experts.training_run import run

        return run

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"trained": Example({"kind": "trained"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImportedExperts(OriginConfig):
    """Read from published files: buffers/<dataset>/<experts>/*.pt in the data root, or by `dcpipe import-buffers`.

    The other values say how the publishers trained them, which cannot be checked; network, count, epochs and
    kept_epochs are compared with the files.
    """

    implementation = ("dcpipe.experts.buffers",)

    kind: Literal["imported"]
    digest: Digest = Field(
        description="digest of the files, by names, sizes and sums; `dcpipe import-buffers` prints it"
    )

    @property
    def pinned_digest(self) -> str | None:
        """The digest."""
        return self.digest

    @property
    def is_foreign(self) -> bool:
        """True: trained by others."""
        return True

    def build(self) -> "Callable[[Task], None]":
        """Reading."""
        from dcpipe.experts.buffers import run

        return run

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A digest that no file has."""
        return {"imported": Example({"kind": "imported", "digest": "sha256:" + "0" * 64})}
