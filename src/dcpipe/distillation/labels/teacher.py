"""Teacher soft labels: an iteration's students see what an expert says of the unaugmented images.

Nothing is differentiated through the teacher. The public code evaluates a set with the labels of the iteration before;
here a set's labels always belong to its own images, those of the finished set by what a next iteration would draw.

Source: TESLA (arXiv:2211.10586), soft label assignment, its public code.

Legend: N images, C channels, H W pixels, P parameters.
"""

from dataclasses import replace

from torch import Tensor

from dcpipe.distillation.matching.common import Episode, Setting
from dcpipe.distillation.matching.trajectory import TrajectoryEpisode
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.teachers import Teachers, logits
from dcpipe.params.labels import NamedCheckpoint, TeacherLabels


class Teacher:
    """See `dcpipe.distillation.labels.common.Labels`."""

    def __init__(self, setting: Setting) -> None:
        assert setting.method.outer is not None  # noqa: S101 (a matching has an outer loop)
        what = setting.method.outer.labels
        assert isinstance(what, TeacherLabels)  # noqa: S101 (the composition chose this module)
        teachers = Teachers.of(setting)
        self._model, self._theta_P = teachers.model, None
        if isinstance(what.teacher, NamedCheckpoint):
            named_P = teachers.path.at(what.teacher.expert, what.teacher.epoch)
            self._theta_P = named_P.to(setting.device)

    def initial(self, _images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """The classes, until an episode names the teacher."""
        return classes_N

    def of(self, synthetic: SyntheticSet, episode: Episode) -> SyntheticSet:
        """The set with the teacher's logits."""
        assert isinstance(episode, TrajectoryEpisode)  # noqa: S101 (planning refuses teachers elsewhere)
        theta_P = episode.target_P if self._theta_P is None else self._theta_P
        return replace(synthetic, labels=logits(self._model, theta_P, synthetic.images_NCHW))


def make(setting: Setting) -> Teacher:
    """The labels of a job."""
    return Teacher(setting)
