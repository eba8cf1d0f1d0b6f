"""Trajectory matching: students trained on the synthetic set shall end where the expert ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.distillation.hypergradient.hypergradient_config import Exact
from dcpipe.distillation.hypergradient.kept_graphs_config import NoGraphs
from dcpipe.params.augmentation import Augmentation
from dcpipe.params.axis import Example, Need, ValueLocation
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.method_axes import InnerLoop, MatchingConfig, MethodContext
from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.schema import STRICT, Count, Name, StepCount
from dcpipe.params.trajectory_axes import ExpertPathConfig, HypergradientConfig, SegmentConfig, StartNoiseConfig
from dcpipe.params.waypoints import refuse_bad_waypoints
from dcpipe.params.work import FLOAT_BYTES, InnerSizes, SetSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.episodes import Matching
    from dcpipe.distillation.setting import Setting
    from dcpipe.experts.trajectory import ExpertTrajectories, ParameterLayout

AUGMENTED = 12  # copies of a batch that its augmentation keeps to be differentiated


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrajectoryMatchingConfig(MatchingConfig):
    """Students trained on the synthetic set shall end where the expert ends (MTT, arXiv:2203.11932)."""

    implementation = ("dcpipe.distillation.loop", "dcpipe.distillation.matching.trajectory_matching")

    kind: Literal["trajectory"]
    experts: Name = Field(description="the experts file that is imitated")
    max_experts: Annotated[Count | None, NeutralDefault(None)] = Field(
        description="only the first so many of the experts; null: all of them; --max_experts"
    )
    path: ExpertPathConfig
    segment: SegmentConfig
    start_noise: StartNoiseConfig
    inner_steps: StepCount = Field(description="steps of a student; N, --syn_steps")
    inner_batch: Count | None = Field(description="synthetic images per step; null: all of them; --batch_syn")
    augmentation: Augmentation = Field(description="DSA families of every inner step joined by _, or none")
    hypergradient: HypergradientConfig

    @property
    def experts_name(self) -> str | None:
        """The experts file."""
        return self.experts

    @property
    def num_experts_read(self) -> int | None:
        """The first ones, where it does not read all."""
        return self.max_experts

    @property
    def convex_path_name(self) -> str | None:
        """The path's."""
        return self.path.convex_path_name

    @property
    def inner_loop(self) -> InnerLoop | None:
        """The students' training."""
        kept = self.hypergradient.kept_steps(self.inner_steps)
        return InnerLoop(self.inner_steps, kept, self.inner_batch, self.augmentation)

    def with_inner_steps(self, steps: int) -> "TrajectoryMatchingConfig":
        """The same with students of other length."""
        return replace(self, inner_steps=steps)

    def with_exact_gradient(self) -> "TrajectoryMatchingConfig":
        """The same with the exact hypergradient."""
        size = self.hypergradient.micro_batch_setting
        return replace(self, hypergradient=Exact(kind="exact", micro_batch=size, kept_graphs=NoGraphs(kind="none")))

    @property
    def provides(self) -> frozenset[Need]:
        """Everything."""
        return frozenset(Need)

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Batches must cut something; every epoch that a segment asks for must be reached and kept."""
        if self.inner_batch is not None and self.inner_batch >= context.num_images:
            problem = f"a batch size of the whole set ({context.num_images} images) has no effect"
            raise location.error("inner_batch", problem, "write null, or a smaller number")
        if self.max_experts is not None and context.experts and self.max_experts >= context.experts.count:
            problem = f"{self.max_experts} has no effect: there are {context.experts.count} experts"
            raise location.error("max_experts", problem, "write null, or a smaller number")
        self._check_segments(location, context)

    def _check_segments(self, location: ValueLocation, context: MethodContext) -> None:
        experts, resolved = context.experts, context.resolved_experts
        if experts is None or resolved is None:
            return
        if self.segment.last_epoch > experts.epochs:
            problem = f"segments end at epoch {self.segment.last_epoch}, but experts train for {experts.epochs} epochs"
            remedy = f"lower max_start_epoch or span_epochs, or raise epochs in {resolved.file}"
            raise location.error("segment.max_start_epoch", problem, remedy)
        if self.convex_path_name is not None:
            refuse_bad_waypoints(resolved, experts, self.convex_path_name)
            return
        if self.segment.between_epochs:
            problem = "segments that start between epochs need a convex path"
            raise location.error("path.kind", problem, "write path.kind: convex, or segment.kind: fixed")
        missing = sorted(self.segment.checkpoint_epochs - set(kept_epochs(experts.kept_epochs, experts.epochs)))
        if missing:
            problem = f"epoch {missing[0]} is needed but not in kept_epochs"
            raise location.error("segment.max_start_epoch", problem, f"add it to kept_epochs in {resolved.file}")

    def estimate_work(self, sizes: SetSizes) -> Work:
        """A student by the hypergradient, between two checkpoints; a convex path is held whole."""
        network = sizes.network
        if network is None:
            return Work()
        images = min(self.inner_batch or sizes.images, sizes.images)
        work = self.hypergradient.estimate_work(InnerSizes(network, self.inner_steps, images, sizes.numbers))
        augmented = (
            Work() if self.augmentation == "none" else Work(held_bytes=AUGMENTED * FLOAT_BYTES * images * sizes.numbers)
        )
        checkpoints = 4 + sizes.num_experts * self.path.num_held_checkpoints
        return Work(held_bytes=checkpoints * network.bytes) + augmented + work

    def open_experts(self, paths: Sequence[Path], layout: "ParameterLayout") -> "ExpertTrajectories":
        """By the path; of all experts, or of the first ones."""
        path = self.path.build(paths, layout)
        if self.max_experts is None:
            return path
        from dcpipe.experts.trajectory import FirstExperts

        return FirstExperts(path, self.max_experts)

    def build(self, setting: "Setting") -> "Matching":
        """The matching of a job."""
        from dcpipe.distillation.matching.trajectory_matching import TrajectoryMatching

        return TrajectoryMatching(self, setting)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """MTT on tiny."""
        tree = {
            "kind": "trajectory",
            "experts": "plain",
            "path": {"kind": "recorded"},
            "segment": {"kind": "fixed", "min_start_epoch": 0, "max_start_epoch": 2, "span_epochs": 2},
            "start_noise": {"kind": "none"},
            "inner_steps": 5,
            "inner_batch": None,
            "augmentation": "none",
            "hypergradient": {"kind": "exact", "micro_batch": None},
        }
        return {
            "trajectory": Example(
                tree, changes={"augmentation": "crop", "inner_batch": 5, "experts": "others", "max_experts": 1}
            )
        }
