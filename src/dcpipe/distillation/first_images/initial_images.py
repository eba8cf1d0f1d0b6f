"""First images that need no expert: real ones, or noise.

Legend: N images, C channels, H W pixels.
"""

from collections.abc import Callable

from torch import Tensor

from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import noise_images, real_images
from dcpipe.random import Stream

InitialImages = Callable[[Setting, Stream], tuple[Tensor, Tensor]]
"""-> the first images (N x C x H x W) and their labels (N), `setting.ipc` of each class, sorted by class."""


def real(setting: Setting, stream: Stream) -> tuple[Tensor, Tensor]:
    """Real images of each class, uniformly without replacement."""
    return real_images(setting.train, setting.ipc, stream)


def noise(setting: Setting, stream: Stream) -> tuple[Tensor, Tensor]:
    """Standard normal images."""
    return noise_images(setting.train, setting.ipc, stream)
