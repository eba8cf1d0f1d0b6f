"""Labels: classes, logits that are learned, or what an expert says of the images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, Need, ValueLocation
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.method_axes import MethodContext
from dcpipe.params.outer_axes import InitialLogitsConfig, LabelsConfig, OptimiserConfig, TeacherConfig
from dcpipe.params.schema import STRICT, Index, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.distillation.labels.label_rules import InitialLogits, LabelRule
    from dcpipe.distillation.setting import Setting

HARD_LOGIT = 80.0  # its softmax has no derivative left that single precision could add to it


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HardLabels(LabelsConfig):
    """The classes that the images were chosen for; they never change."""

    implementation = ("dcpipe.distillation.labels.hard",)

    kind: Literal["hard"]

    def build(self, _setting: "Setting") -> "LabelRule":
        """The classes."""
        from dcpipe.distillation.labels.hard import HardLabelRule

        return HardLabelRule()

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"hard": Example({"kind": "hard"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CorrectExperts(InitialLogitsConfig):
    """The mean logits of all experts that, at their last kept epoch, classify the image correctly (DATM)."""

    needs = frozenset({Need.EXPERTS})
    implementation = ("dcpipe.distillation.labels.initial_logits",)

    kind: Literal["correct-experts"]

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Every image must have a label, and experts look at images one by one."""
        outer = context.method.outer
        if outer and not outer.images.initial.all_classified:
            problem = "an image that no expert classifies correctly would have no label"
            raise location.error("kind", problem, "write outer.images.initial: correct, or another kind here")
        context.refuse_batch_norm(location)

    def rehearsal_substitute(self) -> InitialLogitsConfig:
        """The class: experts that are noise classify nothing correctly."""
        return OneHot(kind="one-hot", logit=10.0)

    def build(self, setting: "Setting") -> "InitialLogits":
        """From the experts that are right."""
        from dcpipe.distillation.labels.initial_logits import CorrectExpertsMeanLogits

        return CorrectExpertsMeanLogits(setting)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """With images that experts classify correctly."""
        return {
            "correct-experts": Example({"kind": "correct-experts"}, required_params={"outer.images.initial": "correct"})
        }


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OneExpert(InitialLogitsConfig):
    """One expert's logits at its last kept epoch, right or wrong (DATM, for images that were not chosen by experts)."""

    needs = frozenset({Need.EXPERTS})
    implementation = ("dcpipe.distillation.labels.initial_logits",)

    kind: Literal["one-expert"]
    expert: Index = Field(description="its number, from 0")

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """The expert must be there, and it looks at images one by one."""
        context.refuse_unknown_expert(location, "expert", self.expert)
        context.refuse_batch_norm(location)

    def build(self, setting: "Setting") -> "InitialLogits":
        """From one expert."""
        from dcpipe.distillation.labels.initial_logits import OneExpertLogits

        return OneExpertLogits(setting, self.expert)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The first one."""
        return {"one-expert": Example({"kind": "one-expert", "expert": 0})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OneHot(InitialLogitsConfig):
    """`logit` for the class and 0 for every other; from 200 on that is a hard label to the bit."""

    implementation = ("dcpipe.distillation.labels.initial_logits",)

    kind: Literal["one-hot"]
    logit: PositiveFloat = Field(description="logit of the image's class")

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """A hard label has no derivative."""
        learned = context.method.outer.labels.learning_optimiser if context.method.outer else None
        if learned and self.logit >= HARD_LOGIT:
            problem = f"has no effect: a logit of {self.logit} is a hard label, which has no derivative"
            remedy = f"lower {location.key}.logit, or write outer.labels.kind: hard"
            raise location.error_at("outer.labels.optimiser.learning_rate", problem, remedy)

    def build(self, setting: "Setting") -> "InitialLogits":
        """From the classes."""
        from dcpipe.distillation.labels.initial_logits import OneHotLogits

        return OneHotLogits(setting.train.classes, self.logit)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A soft one."""
        return {"one-hot": Example({"kind": "one-hot", "logit": 3.0})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LearnedLabels(LabelsConfig):
    """Logits with an optimiser of their own; their softmax is the label (DATM, arXiv:2310.05773)."""

    implementation = ("dcpipe.distillation.labels.learned",)
    needs = frozenset({Need.LEARNABLE_LABELS})

    kind: Literal["learned"]
    initial: InitialLogitsConfig
    optimiser: OptimiserConfig

    @property
    def learning_optimiser(self) -> OptimiserConfig | None:
        """Its optimiser."""
        return self.optimiser

    def build(self, setting: "Setting") -> "LabelRule":
        """Logits."""
        from dcpipe.distillation.labels.learned import SoftLabelRule

        return SoftLabelRule(self.initial.build(setting))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """From soft classes."""
        optimiser = {"kind": "sgd", "learning_rate": 2.0, "momentum": 0.9}
        initial = {"kind": "one-hot", "logit": 3.0}
        return {"learned": Example({"kind": "learned", "initial": initial, "optimiser": optimiser})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedLabels(LabelsConfig):
    """Logits that stay as they are; their softmax is the label. Costs no derivative of the labels."""

    implementation = ("dcpipe.distillation.labels.learned",)
    needs = frozenset({Need.STUDENTS})

    kind: Literal["fixed"]
    initial: InitialLogitsConfig

    def build(self, setting: "Setting") -> "LabelRule":
        """Logits, which no optimiser changes."""
        from dcpipe.distillation.labels.learned import SoftLabelRule

        return SoftLabelRule(self.initial.build(setting))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Soft classes."""
        return {"fixed": Example({"kind": "fixed", "initial": {"kind": "one-hot", "logit": 3.0}})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SegmentTarget(TeacherConfig):
    """The checkpoint that the iteration's student should reach (TESLA, its public code)."""

    implementation = ("dcpipe.distillation.labels.teacher",)

    kind: Literal["segment-target"]

    def build(self, setting: "Setting") -> "LabelRule":
        """The target."""
        from dcpipe.distillation.labels.teacher import TargetTeacher

        return TargetTeacher(setting)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"segment-target": Example({"kind": "segment-target"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedCheckpointTeacher(TeacherConfig):
    """The same one in every iteration."""

    implementation = ("dcpipe.distillation.labels.teacher",)

    kind: Literal["checkpoint"]
    expert: Index = Field(description="number of the expert, from 0")
    epoch: Index = Field(description="epoch of its checkpoint")

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """The checkpoint must be there."""
        context.refuse_unknown_expert(location, "expert", self.expert)
        experts = context.experts
        if experts is None:
            return
        convex = context.method.matching.convex_path_name is not None
        kept = range(experts.epochs + 1) if convex else kept_epochs(experts.kept_epochs, experts.epochs)
        if self.epoch not in kept:
            problem = f"epoch {self.epoch} is needed but not in kept_epochs"
            raise location.error("epoch", problem, f"name one of {', '.join(map(str, kept))}")

    def build(self, setting: "Setting") -> "LabelRule":
        """One checkpoint."""
        from dcpipe.distillation.labels.teacher import CheckpointTeacher

        return CheckpointTeacher(setting, self.expert, self.epoch)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The first expert's third epoch."""
        return {"checkpoint": Example({"kind": "checkpoint", "expert": 0, "epoch": 3}, changes={"epoch": 2})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TeacherLabels(LabelsConfig):
    """What an expert says of the images as they are in an iteration; not differentiated (TESLA, arXiv:2211.10586)."""

    implementation = ()  # the teacher's
    needs = frozenset({Need.EXPERTS, Need.STUDENTS})

    kind: Literal["teacher"]
    teacher: TeacherConfig

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Experts look at the images one by one."""
        context.refuse_batch_norm(location)

    def build(self, setting: "Setting") -> "LabelRule":
        """The teacher's."""
        return self.teacher.build(setting)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The student's target."""
        return {"teacher": Example({"kind": "teacher", "teacher": {"kind": "segment-target"}})}
