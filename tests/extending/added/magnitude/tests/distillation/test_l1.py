"""The law of the magnitude l1."""

import torch

from dcpipe.distillation.distances.l1 import l1


def test_l1_grows_with_the_difference_and_is_zero_without_one() -> None:
    a_RL = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert l1(a_RL, a_RL).tolist() == [0.0, 0.0]
    assert l1(3 * a_RL, a_RL).tolist() == (2 * a_RL.abs().sum(dim=1)).tolist()
