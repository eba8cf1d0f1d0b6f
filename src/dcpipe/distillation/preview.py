"""A synthetic set as one picture: a row per class, clipped for the eye only."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

MIN_IMAGE_PIXELS = 48  # pixels per image on the picture, at least
GAP_PIXELS = 2
MAX_COLUMNS, MAX_ROWS = 20, 40


def save_preview(path: Path, pixels_NCHW: Tensor, labels_N: Tensor, classes: int) -> None:
    """Write the picture of a set, pixels in units of [0, 1]."""
    canvas_HWC = image_grid(pixels_NCHW.detach().cpu(), labels_N.cpu(), classes)
    Image.fromarray(canvas_HWC.numpy()).save(path, format="PNG")


def image_grid(pixels_NCHW: Tensor, labels_N: Tensor, classes: int) -> Tensor:
    """H x W x 3 uint8: a row per class, the first 20 images of each of at most 40 classes, enlarged without blur."""
    height, width = pixels_NCHW.shape[2:]
    factor = max(1, MIN_IMAGE_PIXELS // height)
    rows = [torch.nonzero(labels_N == label).flatten()[:MAX_COLUMNS] for label in range(min(classes, MAX_ROWS))]
    columns = max(len(row) for row in rows)
    high, wide = height * factor + GAP_PIXELS, width * factor + GAP_PIXELS
    canvas = torch.full((len(rows) * high + GAP_PIXELS, columns * wide + GAP_PIXELS, 3), 255, dtype=torch.uint8)
    for row, members in enumerate(rows):
        for column, member in enumerate(members.tolist()):
            shown = (pixels_NCHW[member].float().clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)
            tile = shown.repeat_interleave(factor, 1).repeat_interleave(factor, 2).permute(1, 2, 0)
            top, left = GAP_PIXELS + row * high, GAP_PIXELS + column * wide
            canvas[top : top + height * factor, left : left + width * factor] = tile
    return canvas
