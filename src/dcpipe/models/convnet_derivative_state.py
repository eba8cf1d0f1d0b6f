"""What the analytic gradient of a ConvNet saves, and what its pullback gives (`dcpipe.models.convnet_derivatives`).

Legend: B images in a batch, C channels, H W pixels, L pixels of a block before its pooling, Q after it, D numbers that
the first convolution reads for a pixel, F features, K classes, P parameters. h: a block's normed activations. m: the
mask of its ReLU. pool: the average over 2x2 pixels. g: the gradient. v: the vector that it is pulled back with.
"""

from typing import NamedTuple

from torch import Tensor


class BlockParameters(NamedTuple):
    """Of one block: the convolution's kernel (C, channels that it reads, 3, 3), and the norm's scale and shift (C)."""

    kernel: Tensor
    scale: Tensor
    shift: Tensor


class BlockActivations(NamedTuple):
    """What the forward pass saves of a block.

    inputs: what the convolution read (B, H, W, C), in the first block the numbers that each pixel reads (B, L, D).
    centred: its output less the mean over pixels (B, L, C). inverse_std: one over their deviation (B, 1, C).
    pooled_mask, pooled_normed: pool(m) and pool(m h) (B, Q, C).
    """

    inputs: Tensor
    centred: Tensor
    inverse_std: Tensor
    pooled_mask: Tensor
    pooled_normed: Tensor


class BlockGradients(NamedTuple):
    """The derivatives of the loss by the block's pooled output (B, Q, C), and by its norm's shift and scale, image by
    image (B, 1, C)."""

    pooled: Tensor
    shift: Tensor
    scale: Tensor


class GradientState(NamedTuple):
    """What the gradient of a batch saves for its pullback: of each block, the features, and the class probabilities
    that the network predicts and that the labels ask for."""

    forward: tuple[BlockActivations, ...]
    backward: tuple[BlockGradients, ...]
    features_BF: Tensor
    predicted_BK: Tensor
    target_BK: Tensor


class Pullback(NamedTuple):
    """The derivatives of <g, v>, g the gradient: by parameters (P; None where not asked for), images and logits."""

    theta_P: Tensor | None
    images_BCHW: Tensor
    labels_BK: Tensor


class BlockTangents(NamedTuple):
    """What the tangent pass saves of a block: derivatives along v, with the parameters moving by v.

    mask: m (B, L, C). convolved: the tangent of the convolution's output (B, L, C). mean, correlation: the means over
    pixels of that tangent, and of that tangent times h (B, 1, C). pooled: the tangent of the block's output (B, Q, C).
    norm_term: what the loss's derivative by the norm's scale gains from that tangent (B, 1, C).
    """

    mask: Tensor
    convolved: Tensor
    mean: Tensor
    correlation: Tensor
    norm_term: Tensor
    pooled: Tensor
