"""Rank correlation of two measurements of the same things."""

import math
from collections.abc import Sequence
from statistics import StatisticsError, correlation


def average_ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1, the smallest; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = (start + 1 + end) / 2
        start = end
    return ranks


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's correlation, with average ranks for ties; None where it is not defined: fewer than two values, or all
    of one side equal. Minus infinity is a value, and ranks below all others.
    """
    try:
        found = correlation(average_ranks(first), average_ranks(second))
    except StatisticsError:
        return None
    return None if math.isnan(found) else found
