"""Teacher soft labels: an iteration's students see what an expert says of the unaugmented images.

Nothing is differentiated through the teacher. The public code evaluates a set with the labels of the iteration before;
here a set's labels always belong to its own images, those of the finished set by what a next iteration would draw.

Source: TESLA (arXiv:2211.10586), soft label assignment, its public code.

Legend: N images, C channels, H W pixels, P parameters.
"""

from dataclasses import replace

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.teachers import Teachers, logits
from dcpipe.errors import UserError


class TargetTeacher:
    """The teacher is the student's target. See `dcpipe.distillation.labels.label_rules.LabelRule`."""

    def __init__(self, setting: Setting) -> None:
        self._model = Teachers.from_setting(setting).model

    def initial(self, _images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """The classes, until an episode names the teacher."""
        return classes_N

    def with_labels(self, synthetic: SyntheticSet, episode: Episode) -> SyntheticSet:
        """The set with the teacher's logits."""
        if episode.as_student_episode is None:
            remedy = "choose another kind of labels"
            raise UserError("the matching must train students", where="outer.labels.teacher", remedy=remedy)
        logits_NK = logits(self._model, episode.as_student_episode.target_P, synthetic.images_NCHW)
        return replace(synthetic, labels=logits_NK)


class CheckpointTeacher:
    """The teacher is one checkpoint. See `dcpipe.distillation.labels.label_rules.LabelRule`."""

    def __init__(self, setting: Setting, expert: int, epoch: int) -> None:
        teachers = Teachers.from_setting(setting)
        self._model, self._theta_P = teachers.model, teachers.path.at(expert, epoch).to(setting.device)

    def initial(self, _images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """The classes, until the first episode."""
        return classes_N

    def with_labels(self, synthetic: SyntheticSet, _episode: Episode) -> SyntheticSet:
        """The set with the teacher's logits."""
        return replace(synthetic, labels=logits(self._model, self._theta_P, synthetic.images_NCHW))
