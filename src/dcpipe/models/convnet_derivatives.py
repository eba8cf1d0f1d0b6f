"""The gradient of a ConvNet's cross-entropy by its parameters, and that gradient's pullback, written out by hand.

Autograd takes the gradient of an instance norm apart into passes over whole activations, each of which waits for
memory, and keeps the layout of the images. Written out, a block of convolution, instance norm, ReLU and 2x2 average
pooling takes some twenty passes in all, and channels come last everywhere, which a CPU convolves up to 1.7 times as
fast.

What makes it short. With h the normed activations, m the ReLU's mask and pool the average over 2x2 pixels, a block puts
out scale * pool(m h) + shift * pool(m), and the sum over pixels of whatever came back through the pool, alone or times
h, is a sum over a quarter as many of it times pool(m), or times pool(m h). The mask and the derivative by the
convolution's output are made again from these, so that a kept gradient holds little more than one tensor of the size of
the convolution's output. A convolution's bias has no effect before an instance norm, so its derivatives are 0.

Legend: B images in a batch, C channels, H W pixels, L pixels of a block before its pooling, Q after it, D numbers that
the first convolution reads for a pixel, F features, K classes, P parameters. Activations are B x L x C: channels last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.models.derived_networks import written_out

EPSILON = 1e-5  # of the norms, PyTorch's default


class BlockParameters(NamedTuple):
    """Of one block: the convolution's kernel (C, channels that it reads, 3, 3), and the norm's scale and shift (C)."""

    kernel: Tensor
    scale: Tensor
    shift: Tensor


class Forward(NamedTuple):
    """What the forward pass leaves of a block.

    inputs: what the convolution read (B, H, W, C), in the first block the numbers that each pixel reads (B, L, D).
    centred: its output less the mean over pixels (B, L, C); inverse: one over the deviation (B, 1, C).
    open, normed: pool(m) and pool(m h) (B, Q, C).
    """

    inputs: Tensor
    centred: Tensor
    inverse: Tensor
    open: Tensor
    normed: Tensor


class Backward(NamedTuple):
    """The derivatives of the loss by what a block puts out (B, Q, C), and by its norm's shift and scale, image by image
    (B, 1, C)."""

    by_pooled: Tensor
    by_shift: Tensor
    by_scale: Tensor


class GradientState(NamedTuple):
    """What the gradient of a batch leaves for its pullback: of the blocks, the features, and the probabilities of the
    classes as the network and as the labels have them."""

    forward: tuple[Forward, ...]
    backward: tuple[Backward, ...]
    features_BF: Tensor
    found_BK: Tensor
    wanted_BK: Tensor


class Pullback(NamedTuple):
    """The derivatives of <g, v>, g the gradient: by parameters (P; None where not asked for), images and logits."""

    theta_P: Tensor | None
    images_BCHW: Tensor
    labels_BK: Tensor


class Rising(NamedTuple):
    """What the pullback's way up through a block leaves for its way down.

    mask: m (B, L, C). u: the derivative of <g, v> by the loss's derivative by the convolution's output (B, L, C).
    mean, along: the means over pixels of u and u h (B, 1, C). pulled: the derivative by `by_pooled` (B, Q, C).
    turn: the norm's derivative of u, without its scale, times the derivative by the norm's output (B, 1, C).
    """

    mask: Tensor
    u: Tensor
    mean: Tensor
    along: Tensor
    turn: Tensor
    pulled: Tensor


@dataclass(frozen=True)
class ConvNetDerivatives:
    """Of a ConvNet with instance norms, ReLU and average pooling.

    `sides`: pixels a side inside each block before its pooling, then after the last; all but the last are even.
    `padding`: of the first convolution. `channels`: of the images.
    """

    width: int
    channels: int
    sides: tuple[int, ...]
    padding: int
    classes: int

    @classmethod
    def of(cls, name: str, *, channels: int, image_size: int, classes: int) -> "ConvNetDerivatives | None":
        """Of the network of a name; None where they are not written out: autograd has them all."""
        network = written_out(name, image_size)
        if network is None:
            return None
        sides = network.sides(image_size)
        return cls(network.width, channels, sides, (sides[0] - image_size) // 2 + 1, classes)

    def gradient(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> tuple[Tensor, GradientState]:
        """The gradient (P) of the batch's mean cross-entropy, and what its pullback needs.

        Labels: int64 classes (B,), or logits (B, K) whose softmax is the wanted distribution.
        """
        parameters, (head_KF, bias_K) = self._split(theta_P)
        forward, masks, features_BF = self._forward(parameters, x_BCHW)
        found_BK = torch.addmm(bias_K, features_BF, head_KF.t()).softmax(1)
        wanted_BK = labels.softmax(1) if labels.is_floating_point() else _one_hot(labels, found_BK)
        error_BK = (found_BK - wanted_BK).div_(len(found_BK))
        pooled_BQC = self._unflattened(error_BK @ head_KF)
        found = [error_BK.sum(0), error_BK.t() @ features_BF]
        backward: list[Backward] = []
        for block in reversed(range(len(parameters))):
            at, (kernel, scale_C, _) = forward[block], parameters[block]
            by_shift_B1C, by_scale_B1C = _over_pixels(pooled_BQC, at)
            backward.append(Backward(pooled_BQC, by_shift_B1C, by_scale_B1C))
            by_out_BLC = self._by_convolved(block, at, backward[-1], scale_C, masks.pop())
            found += [by_shift_B1C.sum((0, 1)), by_scale_B1C.sum((0, 1))]
            if block:
                pooled_BQC, by_kernel = self._unconvolved(block, by_out_BLC, at.inputs, kernel, by_kernel=True)
                found.append(by_kernel)
            else:
                found.append(_by_first_kernel(by_out_BLC, at.inputs))
        state = GradientState(tuple(forward), tuple(reversed(backward)), features_BF, found_BK, wanted_BK)
        return self._joined(found), state

    def pullback(self, theta_P: Tensor, state: GradientState, v_P: Tensor, *, through_parameters: bool) -> Pullback:
        """The derivatives of <g, v>, with g and its state as `gradient` gave them at `theta_P`."""
        parameters, (head_KF, _) = self._split(theta_P)
        v_parameters, (v_head_KF, v_bias_K) = self._split(v_P)
        risen, up_BF = self._upwards(parameters, v_parameters, state)
        batch = len(up_BF)
        error_BK = (state.found_BK - state.wanted_BK).div_(batch)
        by_error_BK = torch.addmm(v_bias_K, state.features_BF, v_head_KF.t()).addmm_(up_BF, head_KF.t())
        by_logits_BK = _through_softmax(state.found_BK, by_error_BK).div_(batch)
        by_labels_BK = _through_softmax(state.wanted_BK, by_error_BK).div_(-batch)
        down_BQC = self._unflattened((error_BK @ v_head_KF).addmm_(by_logits_BK, head_KF))
        found = [by_logits_BK.sum(0), (error_BK.t() @ up_BF).addmm_(by_logits_BK.t(), state.features_BF)]
        for block in reversed(range(1, len(parameters))):
            once_BLC, twice_BLC = self._by_convolved_both(
                block, state, risen[block], down_BQC, parameters[block], v_parameters[block]
            )
            found += _by_norm(down_BQC, state.forward[block], risen[block])
            below, inputs = self._image(block, risen[block - 1].pulled), state.forward[block].inputs
            kernel, v_kernel = parameters[block].kernel, v_parameters[block].kernel
            down_BQC, by_kernel = self._unconvolved(block, twice_BLC, inputs, kernel, by_kernel=through_parameters)
            more_BQC, more = self._unconvolved(block, once_BLC, below, v_kernel, by_kernel=through_parameters)
            down_BQC += more_BQC
            if through_parameters:
                found.append(by_kernel + more)
        once_BLC, twice_BLC = self._by_convolved_both(0, state, risen[0], down_BQC, parameters[0], v_parameters[0])
        x_BDL = parameters[0].kernel.flatten(1).t() @ twice_BLC.transpose(1, 2)
        x_BDL += v_parameters[0].kernel.flatten(1).t() @ once_BLC.transpose(1, 2)
        side = self.sides[0] + 2 - 2 * self.padding
        images_BCHW = functional.fold(x_BDL, (side, side), 3, padding=self.padding)
        if not through_parameters:
            return Pullback(None, images_BCHW, by_labels_BK)
        found += _by_norm(down_BQC, state.forward[0], risen[0])
        found.append(_by_first_kernel(twice_BLC, state.forward[0].inputs))
        return Pullback(self._joined(found), images_BCHW, by_labels_BK)

    def _forward(
        self, parameters: Sequence[BlockParameters], x_BCHW: Tensor
    ) -> tuple[list[Forward], list[Tensor], Tensor]:
        """Of each block what it leaves and its mask, and the features."""
        inputs = functional.unfold(x_BCHW, 3, padding=self.padding).transpose(1, 2).contiguous()
        left: list[Forward] = []
        masks: list[Tensor] = []
        for block, (kernel, scale_C, shift_C) in enumerate(parameters):
            out_BLC = self._convolved(block, inputs, kernel)
            centred_BLC = out_BLC.sub_(out_BLC.mean(1, keepdim=True))
            inverse_B1C = (centred_BLC * centred_BLC).mean(1, keepdim=True).add_(EPSILON).rsqrt_()
            mask_BLC = _mask(centred_BLC, inverse_B1C, scale_C, shift_C)
            open_BQC = self._pooled(block, mask_BLC)
            normed_BQC = self._pooled(block, mask_BLC * centred_BLC).mul_(inverse_B1C)
            left.append(Forward(inputs, centred_BLC, inverse_B1C, open_BQC, normed_BQC))
            masks.append(mask_BLC)
            inputs = self._image(block + 1, (normed_BQC * scale_C).addcmul_(open_BQC, shift_C))
        return left, masks, inputs.permute(0, 3, 1, 2).flatten(1)

    def _upwards(
        self, parameters: Sequence[BlockParameters], v_parameters: Sequence[BlockParameters], state: GradientState
    ) -> tuple[list[Rising], Tensor]:
        """The way up through all blocks, and the derivative of <g, v> by the loss's derivative by the features."""
        risen: list[Rising] = []
        read = state.forward[0].inputs
        for block, ((kernel, scale_C, shift_C), v) in enumerate(zip(parameters, v_parameters, strict=True)):
            at, back = state.forward[block], state.backward[block]
            if block:
                read = torch.cat([at.inputs, self._image(block, risen[-1].pulled)], 3)
            u_BLC = self._convolved(block, read, torch.cat([v.kernel, kernel], 1) if block else v.kernel)
            mask_BLC = _mask(at.centred, at.inverse, scale_C, shift_C)
            mean_B1C = u_BLC.mean(1, keepdim=True)
            along_B1C = (u_BLC * at.centred).mean(1, keepdim=True).mul_(at.inverse)
            pulled_BQC = self._pooled(block, mask_BLC * u_BLC)
            pulled_BQC.addcmul_(mean_B1C, at.open, value=-1).addcmul_(along_B1C, at.normed, value=-1)
            turn_B1C = (pulled_BQC * back.by_pooled).sum(1, keepdim=True).mul_(at.inverse)
            pulled_BQC.mul_(scale_C * at.inverse).addcmul_(at.normed, v.scale).addcmul_(at.open, v.shift)
            risen.append(Rising(mask_BLC, u_BLC, mean_B1C, along_B1C, turn_B1C, pulled_BQC))
        return risen, self._image(len(risen), risen[-1].pulled).permute(0, 3, 1, 2).flatten(1)

    def _by_convolved(self, block: int, at: Forward, back: Backward, scale_C: Tensor, mask_BLC: Tensor) -> Tensor:
        """The derivative of the loss by the convolution's output (B, L, C)."""
        rate_B1C = at.inverse * scale_C
        share_B1C = rate_B1C / -(self.sides[block] ** 2)
        out_BLC = torch.addcmul(share_B1C * back.by_shift, at.centred, share_B1C * at.inverse * back.by_scale)
        return self._add_squares(block, out_BLC, mask_BLC, back.by_pooled * (rate_B1C / 4))

    def _by_convolved_both(
        self,
        block: int,
        state: GradientState,
        rising: Rising,
        down_BQC: Tensor,
        parameters: BlockParameters,
        v_parameters: BlockParameters,
    ) -> tuple[Tensor, Tensor]:
        """The derivative of the loss by the convolution's output, and that of <g, v> by the same output: through what
        the block puts out, whose derivative `down_BQC` is, and through the first-order derivative."""
        at, back, scale_C = state.forward[block], state.backward[block], parameters.scale
        once_BLC = self._by_convolved(block, at, back, scale_C, rising.mask)
        rate_B1C, share = at.inverse * scale_C, 1 / self.sides[block] ** 2
        arriving_BQC = (down_BQC * scale_C).addcmul_(v_parameters.scale - rate_B1C * rising.along, back.by_pooled)
        sum_B1C, slope_B1C = _over_pixels(arriving_BQC, at)
        bend_B1C = at.inverse * rate_B1C * back.by_scale * share
        tilt_B1C = bend_B1C * rising.along - at.inverse * (slope_B1C + scale_C * rising.turn) * share
        level_B1C = bend_B1C * rising.mean - at.inverse * sum_B1C * share
        twice_BLC = torch.addcmul(level_B1C, at.centred, tilt_B1C.mul_(at.inverse))
        twice_BLC.addcmul_(rising.u, bend_B1C, value=-1)
        return once_BLC, self._add_squares(block, twice_BLC, rising.mask, arriving_BQC.mul_(at.inverse / 4))

    def _add_squares(self, block: int, out_BLC: Tensor, mask_BLC: Tensor, squares_BQC: Tensor) -> Tensor:
        """Add to each pixel the number of its square of 2x2, where the ReLU is open; in place."""
        half = self.sides[block] // 2
        pixels = (-1, half, 2, half, 2, self.width)
        out_BLC.view(pixels).addcmul_(mask_BLC.view(pixels), squares_BQC.view(-1, half, 1, half, 1, self.width))
        return out_BLC

    def _convolved(self, block: int, inputs: Tensor, kernel: Tensor) -> Tensor:
        if not block:
            return (inputs.flatten(0, 1) @ kernel.flatten(1).t()).view(len(inputs), -1, self.width)
        return torch.conv2d(inputs.permute(0, 3, 1, 2), kernel, padding=1).permute(0, 2, 3, 1).flatten(1, 2)

    def _unconvolved(
        self, block: int, by_out_BLC: Tensor, inputs: Tensor, kernel: Tensor, *, by_kernel: bool
    ) -> tuple[Tensor, Tensor]:
        """The derivatives by what a convolution read (B, Q, C) and by its kernel, which is nothing where not asked."""
        by_out, ones, asked = self._image(block, by_out_BLC).permute(0, 3, 1, 2), [1, 1], [True, by_kernel, False]
        by_inputs, found, _ = torch.ops.aten.convolution_backward(
            by_out, inputs.permute(0, 3, 1, 2), kernel, None, ones, ones, ones, False, [0, 0], 1, asked
        )
        return by_inputs.permute(0, 2, 3, 1).flatten(1, 2), found

    def _image(self, block: int, x_BLC: Tensor) -> Tensor:
        """As B x H x W x C."""
        return x_BLC.view(-1, self.sides[block], self.sides[block], self.width)

    def _pooled(self, block: int, x_BLC: Tensor) -> Tensor:
        pooled_BCHW = functional.avg_pool2d(self._image(block, x_BLC).permute(0, 3, 1, 2), 2)
        return pooled_BCHW.permute(0, 2, 3, 1).flatten(1, 2)

    def _unflattened(self, features_BF: Tensor) -> Tensor:
        """Of features, or what has their shape, the output of the last block (B, Q, C)."""
        return features_BF.view(len(features_BF), self.width, -1).transpose(1, 2).contiguous()

    @property
    def _sizes(self) -> list[int]:
        sizes: list[int] = []
        for block in range(len(self.sides) - 1):
            reads = self.width if block else self.channels
            sizes += [9 * reads * self.width, self.width, self.width, self.width]
        return [*sizes, self.classes * self.width * self.sides[-1] ** 2, self.classes]

    def _split(self, theta_P: Tensor) -> tuple[list[BlockParameters], tuple[Tensor, Tensor]]:
        """The blocks' parameters, biases left out, and the linear layer's weight (K, F) and bias (K)."""
        *pieces, head, bias_K = torch.split(theta_P, self._sizes)
        blocks: list[BlockParameters] = []
        for block in range(len(self.sides) - 1):
            kernel, _, scale_C, shift_C = pieces[4 * block : 4 * block + 4]
            layout = torch.channels_last if block else torch.contiguous_format
            kernel = kernel.view(self.width, -1, 3, 3).contiguous(memory_format=layout)
            blocks.append(BlockParameters(kernel, scale_C, shift_C))
        return blocks, (head.view(self.classes, -1), bias_K)

    def _joined(self, backwards: Sequence[Tensor]) -> Tensor:
        """One vector (P) of the linear layer's bias and weight, and of the last to the first block the norm's shift and
        scale and the kernel."""
        bias_K, head, *blocks = backwards
        bias_C = bias_K.new_zeros(self.width)
        pieces = [bias_K, head.flatten()]
        for first in range(0, len(blocks), 3):
            shift_C, scale_C, kernel = blocks[first : first + 3]
            pieces += [shift_C, scale_C, bias_C, kernel.reshape(-1)]
        return torch.cat(pieces[::-1])


def _mask(centred_BLC: Tensor, inverse_B1C: Tensor, scale_C: Tensor, shift_C: Tensor) -> Tensor:
    """1 where the ReLU is open, else 0."""
    return torch.addcmul(shift_C, centred_BLC, inverse_B1C * scale_C).gt_(0)


def _over_pixels(by_pooled_BQC: Tensor, at: Forward) -> tuple[Tensor, Tensor]:
    """The sums over pixels of what comes back through pooling and ReLU, alone and times h (B, 1, C)."""
    return (by_pooled_BQC * at.open).sum(1, keepdim=True), (by_pooled_BQC * at.normed).sum(1, keepdim=True)


def _by_norm(down_BQC: Tensor, at: Forward, rising: Rising) -> tuple[Tensor, Tensor]:
    """The derivatives of <g, v> by a norm's shift and scale (C)."""
    by_shift_B1C, by_scale_B1C = _over_pixels(down_BQC, at)
    return by_shift_B1C.sum((0, 1)), by_scale_B1C.add_(rising.turn).sum((0, 1))


def _by_first_kernel(by_out_BLC: Tensor, inputs_BLD: Tensor) -> Tensor:
    return by_out_BLC.flatten(0, 1).t() @ inputs_BLD.flatten(0, 1)


def _one_hot(labels_B: Tensor, like_BK: Tensor) -> Tensor:
    return torch.zeros_like(like_BK).scatter_(1, labels_B[:, None], 1.0)


def _through_softmax(odds_BK: Tensor, by_odds_BK: Tensor) -> Tensor:
    return odds_BK * (by_odds_BK - (odds_BK * by_odds_BK).sum(1, keepdim=True))
