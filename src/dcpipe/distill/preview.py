"""A synthetic set as one picture: a row a class, clipped for the eye only."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

SCALE_TO = 48  # pixels an image on the picture, at least
GAP = 2
MAX_COLUMNS, MAX_ROWS = 20, 40


def save(path: Path, pixels_NCHW: Tensor, classes: int) -> None:
    """Write the picture of a class-sorted set, pixels in units of [0, 1]."""
    Image.fromarray(grid(pixels_NCHW.detach().cpu(), classes).numpy()).save(path, format="PNG")


def grid(pixels_NCHW: Tensor, classes: int) -> Tensor:
    """H x W x 3 uint8: a row a class, at most 20 images of each of at most 40 classes, enlarged without blur."""
    count, channels, height, width = pixels_NCHW.shape
    columns = min(count // classes, MAX_COLUMNS)
    factor = max(1, SCALE_TO // height)
    shown = pixels_NCHW.reshape(classes, count // classes, channels, height, width)[:MAX_ROWS, :columns]
    shown = (shown.float().clamp(0, 1) * 255).round().to(torch.uint8)
    shown = shown.expand(-1, -1, 3, -1, -1) if channels == 1 else shown
    shown = shown.repeat_interleave(factor, 3).repeat_interleave(factor, 4)
    rows, high, wide = len(shown), height * factor + GAP, width * factor + GAP
    canvas = torch.full((rows * high + GAP, columns * wide + GAP, 3), 255, dtype=torch.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = GAP + row * high, GAP + column * wide
            tile = shown[row, column].permute(1, 2, 0)
            canvas[top : top + height * factor, left : left + width * factor] = tile
    return canvas
