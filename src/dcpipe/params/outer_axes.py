"""The axes of the outer loop: what becomes of the images, the step size and the labels. See `method_axes`."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from dcpipe.params.method_axes import MethodValue

if TYPE_CHECKING:
    from dcpipe.distillation.averaging.averages import Average
    from dcpipe.distillation.coordinates.objectives import CoordinateRule
    from dcpipe.distillation.dynamics.measures import Dynamics
    from dcpipe.distillation.first_images.initial_images import InitialImages
    from dcpipe.distillation.labels.label_rules import InitialLogits, LabelRule
    from dcpipe.distillation.optimisers.tensor_optimiser import TensorOptimiser
    from dcpipe.distillation.setting import Setting
    from dcpipe.distillation.sharpness.passes import SharpnessRule
    from dcpipe.distillation.step_size.step_size_rules import StepSizeRule


class OptimiserConfig(MethodValue, axis="optimiser"):
    """What a gradient does to the images, the step size or the label logits."""

    learning_rate: float

    @property
    def moves_nothing(self) -> bool:
        """Whether the rate is 0."""
        return self.learning_rate == 0

    @abstractmethod
    def build(self) -> "TensorOptimiser":
        """A fresh optimiser of one tensor."""


class FirstImagesConfig(MethodValue, axis="first images", shorthand=True):
    """The images that the outer loop starts from."""

    all_classified: ClassVar[bool] = False  # whether an expert classifies each of them correctly

    @abstractmethod
    def build(self) -> "InitialImages":
        """What makes them."""


class StepSizeConfig(MethodValue, axis="step size"):
    """The student's learning rate."""

    initial: float

    @property
    def learning_optimiser(self) -> OptimiserConfig | None:
        """The optimiser that learns it; None where it is kept."""
        return None

    @abstractmethod
    def build(self) -> "StepSizeRule":
        """The derivative that its optimiser descends."""


class LabelsConfig(MethodValue, axis="labels"):
    """What the synthetic images are labelled with."""

    @property
    def learning_optimiser(self) -> OptimiserConfig | None:
        """The optimiser that learns them; None where they are not learned."""
        return None

    @abstractmethod
    def build(self, setting: "Setting") -> "LabelRule":
        """The labels of a job."""


class InitialLogitsConfig(MethodValue, axis="initial logits"):
    """The logits that learned labels start from."""

    @abstractmethod
    def build(self, setting: "Setting") -> "InitialLogits":
        """What makes them."""


class TeacherConfig(MethodValue, axis="teacher"):
    """Whose answer the labels of an iteration are."""

    @abstractmethod
    def build(self, setting: "Setting") -> "LabelRule":
        """The labels of a job."""


class SharpnessConfig(MethodValue, axis="outer sharpness"):
    """How an image update looks for flat regions of the matching loss."""

    def passes_per_update(self, _inner_steps: int) -> float:
        """Evaluations an update, in shares of a whole one."""
        return 1.0

    @abstractmethod
    def build(self) -> "SharpnessRule":
        """What evaluates an episode."""


class AveragingConfig(MethodValue, axis="averaging"):
    """What of all iterations' images the result is."""

    is_average: ClassVar[bool] = True  # whether the result differs from the images of the last iteration

    @property
    def keeps_unaveraged(self) -> bool:
        """Whether the images of the last iteration are kept beside the result."""
        return False

    @abstractmethod
    def build(self, iterations: int) -> "Average":
        """What follows the images of a run of this length."""


class MatchedParametersConfig(MethodValue, axis="coordinates"):
    """Which of the student's parameters count."""

    @abstractmethod
    def build(self) -> "CoordinateRule":
        """What restricts an objective to them."""


class DynamicsMeasureConfig(MethodValue, axis="dynamics", shorthand=True):
    """What is measured along the distillation, beside what the method computes."""

    @abstractmethod
    def build(self, setting: "Setting", labels: "LabelRule") -> "Dynamics":
        """The measure of a job, whose sets are labelled by `labels`."""
