"""Paths: where on an expert's trajectory parameters are read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.schema import STRICT, Count
from dcpipe.params.trajectory_axes import ExpertPathConfig
from dcpipe.params.waypoints import Waypoints

if TYPE_CHECKING:
    from dcpipe.experts.trajectory import ExpertTrajectories, ParameterLayout


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RecordedPath(ExpertPathConfig):
    """The experts' checkpoints as they were recorded."""

    implementation = ("dcpipe.experts.trajectory",)

    kind: Literal["recorded"]

    def build(self, paths: Sequence[Path], layout: "ParameterLayout") -> "ExpertTrajectories":
        """The reader of recorded stores."""
        from dcpipe.experts.trajectory import RecordedTrajectories

        return RecordedTrajectories(paths, layout)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"recorded": Example({"kind": "recorded"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConvexPath(ExpertPathConfig):
    """Straight lines between the first, the last and the waypoints' checkpoints (MCT, arXiv:2406.19827)."""

    implementation = ("dcpipe.experts.convex_path",)

    kind: Literal["convex"]
    waypoints: list[Count] = Field(description="epochs between the first and the last whose checkpoints are kept")

    @property
    def convex_path_name(self) -> str | None:
        """The waypoints, as paths and jobs spell them."""
        return Waypoints(tuple(self.waypoints)).name

    @property
    def num_held_checkpoints(self) -> int:
        """Both ends and the waypoints."""
        return Waypoints(tuple(self.waypoints)).num_anchors

    def build(self, paths: Sequence[Path], layout: "ParameterLayout") -> "ExpertTrajectories":
        """The reader of convex stores."""
        from dcpipe.experts.convex_path import ConvexTrajectories

        return ConvexTrajectories(paths, layout)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """One waypoint."""
        return {"convex": Example({"kind": "convex", "waypoints": [2]}, changes={"waypoints": [3]})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SmoothedPath(ExpertPathConfig):
    """As `convex`, through means of the waypoints' neighbours and of the last two checkpoints (the public MCT code)."""

    implementation = ("dcpipe.experts.convex_path",)

    kind: Literal["smoothed-convex"]
    waypoints: list[Count] = Field(description="epochs between the first and the last, where means of neighbours stand")

    @property
    def convex_path_name(self) -> str | None:
        """The waypoints, as paths and jobs spell them."""
        return Waypoints(tuple(self.waypoints), smoothed=True).name

    @property
    def num_held_checkpoints(self) -> int:
        """Both ends and the waypoints."""
        return Waypoints(tuple(self.waypoints)).num_anchors

    def build(self, paths: Sequence[Path], layout: "ParameterLayout") -> "ExpertTrajectories":
        """The reader of convex stores, which hold the means."""
        from dcpipe.experts.convex_path import ConvexTrajectories

        return ConvexTrajectories(paths, layout)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """One waypoint."""
        return {"smoothed-convex": Example({"kind": "smoothed-convex", "waypoints": [2]}, changes={"waypoints": [3]})}
