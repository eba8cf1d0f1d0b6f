"""The law of smoothed labels."""

import torch
from torch.nn import functional

from dcpipe.distillation.labels.smoothed import Smoothed


def test_cross_entropy_is_that_of_pytorch_with_label_smoothing() -> None:
    classes_N, logits_NK = torch.arange(10), torch.linspace(-3, 4, 100).view(10, 10)
    labels_NK = Smoothed(10, 0.2).initial(torch.zeros(10, 1, 8, 8), classes_N)
    ours = functional.cross_entropy(logits_NK, labels_NK.softmax(dim=1))
    theirs = functional.cross_entropy(logits_NK, classes_N, label_smoothing=0.2)
    torch.testing.assert_close(ours, theirs)
