"""Selections: which of a method's sets is evaluated."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.evaluation import SnapshotSelectionConfig
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.evaluation.selection import SnapshotSelection


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FinishedSet(SnapshotSelectionConfig):
    """The finished set."""

    implementation = ("dcpipe.evaluation.selection",)
    reads_snapshots = False

    kind: Literal["last"]

    def build(self) -> "SnapshotSelection":
        """The only one there is."""
        from dcpipe.evaluation import selection

        return selection.last

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"last": Example({"kind": "last"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AccuracyCurve(SnapshotSelectionConfig):
    """The finished set, with the test accuracy of every snapshot beside it for the report; it selects nothing."""

    implementation = ("dcpipe.evaluation.selection",)

    kind: Literal["curve"]

    @property
    def reported_as(self) -> str:
        """As the finished set, which it is."""
        return "last"

    def rehearsal_substitute(self) -> SnapshotSelectionConfig:
        """One set: each takes the same."""
        return FinishedSet(kind="last")

    def build(self) -> "SnapshotSelection":
        """The last one, and all before it."""
        from dcpipe.evaluation import selection

        return selection.curve

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"curve": Example({"kind": "curve"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ValidationBest(SnapshotSelectionConfig):
    """The snapshot that does best on the validation part."""

    implementation = ("dcpipe.evaluation.selection",)
    needs_validation = True

    kind: Literal["val-best"]

    def rehearsal_substitute(self) -> SnapshotSelectionConfig:
        """One set: each takes the same."""
        return FinishedSet(kind="last")

    def build(self) -> "SnapshotSelection":
        """By validation images."""
        from dcpipe.evaluation import selection

        return partial(selection.best_on, "val")

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"val-best": Example({"kind": "val-best"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BestTestSnapshot(SnapshotSelectionConfig):
    """The snapshot that does best on test: selection on test data, as much of the literature does it."""

    implementation = ("dcpipe.evaluation.selection",)

    kind: Literal["legacy-max"]

    def rehearsal_substitute(self) -> SnapshotSelectionConfig:
        """One set: each takes the same."""
        return FinishedSet(kind="last")

    def build(self) -> "SnapshotSelection":
        """By test images."""
        from dcpipe.evaluation import selection

        return partial(selection.best_on, "test")

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"legacy-max": Example({"kind": "legacy-max"})}
