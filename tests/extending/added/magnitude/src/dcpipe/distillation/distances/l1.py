"""The sum of absolute differences of two gradients of one layer, row by row."""

from torch import Tensor


def l1(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """|a - b| summed over the length L of each of R rows (R)."""
    return (a_RL - b_RL).abs().sum(dim=1)
