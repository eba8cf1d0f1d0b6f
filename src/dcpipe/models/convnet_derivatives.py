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

With precision bfloat16 the convolutions read and put out numbers rounded to it; everything between them is float32.

Legend: B images in a batch, C channels, H W pixels, L pixels of a block before its pooling, Q after it, D numbers that
the first convolution reads for a pixel, F features, K classes, P parameters. Activations are B x L x C: channels last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.models.analytic_networks import find_analytic_convnet
from dcpipe.models.convnet_derivative_state import (
    BlockActivations,
    BlockGradients,
    BlockParameters,
    BlockTangents,
    GradientState,
    Pullback,
)
from dcpipe.params.compute import Precision

EPSILON = 1e-5  # of the norms, PyTorch's default


@dataclass(frozen=True)
class ConvNetDerivatives:
    """Of a ConvNet with instance norms, ReLU and average pooling.

    `sides`: pixels per side inside each block before its pooling, then after the last; all but the last are even.
    `padding`: of the first convolution. `channels`: of the images.
    """

    width: int
    channels: int
    sides: tuple[int, ...]
    padding: int
    classes: int
    precision: Precision = "float32"

    @classmethod
    def from_name(
        cls, name: str, *, channels: int, image_size: int, classes: int, precision: Precision = "float32"
    ) -> "ConvNetDerivatives | None":
        """Of the network of a name; None where no analytic derivatives exist: autograd has them all."""
        network = find_analytic_convnet(name, image_size)
        if network is None:
            return None
        sides = network.sides(image_size)
        return cls(network.width, channels, sides, (sides[0] - image_size) // 2 + 1, classes, precision)

    def gradient(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> tuple[Tensor, GradientState]:
        """The gradient (P) of the batch's mean cross-entropy, and what its pullback needs.

        Labels: int64 classes (B,), or logits (B, K) whose softmax is the wanted distribution.
        """
        parameters, (head_KF, bias_K) = self._split(theta_P)
        forward, masks, features_BF = self._forward(parameters, x_BCHW)
        predicted_BK = torch.addmm(bias_K, features_BF, head_KF.t()).softmax(1)
        target_BK = labels.softmax(1) if labels.is_floating_point() else _one_hot(labels, predicted_BK)
        error_BK = (predicted_BK - target_BK).div_(len(predicted_BK))
        pooled_BQC = self._unflatten(error_BK @ head_KF)
        found = [error_BK.sum(0), error_BK.t() @ features_BF]
        backward: list[BlockGradients] = []
        for block in reversed(range(len(parameters))):
            saved, (kernel, scale_C, _) = forward[block], parameters[block]
            grad_shift_B1C, grad_scale_B1C = _shift_and_scale_gradients(pooled_BQC, saved)
            backward.append(BlockGradients(pooled_BQC, grad_shift_B1C, grad_scale_B1C))
            grad_out_BLC = self._convolved_gradient(block, saved, backward[-1], scale_C, masks.pop())
            found += [grad_shift_B1C.sum((0, 1)), grad_scale_B1C.sum((0, 1))]
            if block:
                pooled_BQC, by_kernel = self._convolution_backward(
                    block, grad_out_BLC, saved.inputs, kernel, by_kernel=True
                )
                found.append(by_kernel)
            else:
                found.append(self._first_kernel_gradient(grad_out_BLC, saved.inputs))
        state = GradientState(tuple(forward), tuple(reversed(backward)), features_BF, predicted_BK, target_BK)
        return self._join(found), state

    def pullback(self, theta_P: Tensor, state: GradientState, v_P: Tensor, *, through_parameters: bool) -> Pullback:
        """The derivatives of <g, v>, with g and its state as `gradient` gave them at `theta_P`."""
        parameters, (head_KF, _) = self._split(theta_P)
        v_parameters, (v_head_KF, v_bias_K) = self._split(v_P)
        tangents, tangent_BF = self._tangent_pass(parameters, v_parameters, state)
        batch = len(tangent_BF)
        error_BK = (state.predicted_BK - state.target_BK).div_(batch)
        grad_error_BK = torch.addmm(v_bias_K, state.features_BF, v_head_KF.t()).addmm_(tangent_BF, head_KF.t())
        grad_logits_BK = _softmax_backward(state.predicted_BK, grad_error_BK).div_(batch)
        grad_labels_BK = _softmax_backward(state.target_BK, grad_error_BK).div_(-batch)
        cotangent_BQC = self._unflatten((error_BK @ v_head_KF).addmm_(grad_logits_BK, head_KF))
        found = [grad_logits_BK.sum(0), (error_BK.t() @ tangent_BF).addmm_(grad_logits_BK.t(), state.features_BF)]
        for block in reversed(range(1, len(parameters))):
            first_order_BLC, second_order_BLC = self._second_order_convolved(
                block, state, tangents[block], cotangent_BQC, parameters[block], v_parameters[block]
            )
            found += _second_order_norm_gradients(cotangent_BQC, state.forward[block], tangents[block])
            below, inputs = self._as_image(block, tangents[block - 1].pooled), state.forward[block].inputs
            kernel, v_kernel = parameters[block].kernel, v_parameters[block].kernel
            cotangent_BQC, by_kernel = self._convolution_backward(
                block, second_order_BLC, inputs, kernel, by_kernel=through_parameters
            )
            more_BQC, more = self._convolution_backward(
                block, first_order_BLC, below, v_kernel, by_kernel=through_parameters
            )
            cotangent_BQC += more_BQC
            if through_parameters:
                found.append(by_kernel + more)
        first_order_BLC, second_order_BLC = self._second_order_convolved(
            0, state, tangents[0], cotangent_BQC, parameters[0], v_parameters[0]
        )
        x_BDL = self._product(parameters[0].kernel.flatten(1).t(), second_order_BLC.transpose(1, 2))
        x_BDL += self._product(v_parameters[0].kernel.flatten(1).t(), first_order_BLC.transpose(1, 2))
        side = self.sides[0] + 2 - 2 * self.padding
        images_BCHW = functional.fold(x_BDL, (side, side), 3, padding=self.padding)
        if not through_parameters:
            return Pullback(None, images_BCHW, grad_labels_BK)
        found += _second_order_norm_gradients(cotangent_BQC, state.forward[0], tangents[0])
        found.append(self._first_kernel_gradient(second_order_BLC, state.forward[0].inputs))
        return Pullback(self._join(found), images_BCHW, grad_labels_BK)

    def _forward(
        self, parameters: Sequence[BlockParameters], x_BCHW: Tensor
    ) -> tuple[list[BlockActivations], list[Tensor], Tensor]:
        """What is saved of each block, each block's mask, and the features."""
        inputs = functional.unfold(x_BCHW, 3, padding=self.padding).transpose(1, 2).contiguous()
        saved: list[BlockActivations] = []
        masks: list[Tensor] = []
        for block, (kernel, scale_C, shift_C) in enumerate(parameters):
            out_BLC = self._convolve(block, inputs, kernel)
            centred_BLC = out_BLC.sub_(out_BLC.mean(1, keepdim=True))
            inverse_std_B1C = (centred_BLC * centred_BLC).mean(1, keepdim=True).add_(EPSILON).rsqrt_()
            mask_BLC = _mask(centred_BLC, inverse_std_B1C, scale_C, shift_C)
            pooled_mask_BQC = self._average_pool(block, mask_BLC)
            pooled_normed_BQC = self._average_pool(block, mask_BLC * centred_BLC).mul_(inverse_std_B1C)
            saved.append(BlockActivations(inputs, centred_BLC, inverse_std_B1C, pooled_mask_BQC, pooled_normed_BQC))
            masks.append(mask_BLC)
            inputs = self._as_image(block + 1, (pooled_normed_BQC * scale_C).addcmul_(pooled_mask_BQC, shift_C))
        return saved, masks, inputs.permute(0, 3, 1, 2).flatten(1)

    def _tangent_pass(
        self, parameters: Sequence[BlockParameters], v_parameters: Sequence[BlockParameters], state: GradientState
    ) -> tuple[list[BlockTangents], Tensor]:
        """The forward pass of derivatives along v: the tangents of all blocks, and of the features (B, F)."""
        tangents: list[BlockTangents] = []
        read = state.forward[0].inputs
        for block, ((kernel, scale_C, shift_C), v) in enumerate(zip(parameters, v_parameters, strict=True)):
            saved, gradients = state.forward[block], state.backward[block]
            if block:
                read = torch.cat([saved.inputs, self._as_image(block, tangents[-1].pooled)], 3)
            convolved_BLC = self._convolve(block, read, torch.cat([v.kernel, kernel], 1) if block else v.kernel)
            mask_BLC = _mask(saved.centred, saved.inverse_std, scale_C, shift_C)
            mean_B1C = convolved_BLC.mean(1, keepdim=True)
            correlation_B1C = (convolved_BLC * saved.centred).mean(1, keepdim=True).mul_(saved.inverse_std)
            tangent_BQC = self._average_pool(block, mask_BLC * convolved_BLC)
            tangent_BQC.addcmul_(mean_B1C, saved.pooled_mask, value=-1).addcmul_(
                correlation_B1C, saved.pooled_normed, value=-1
            )
            norm_term_B1C = (tangent_BQC * gradients.pooled).sum(1, keepdim=True).mul_(saved.inverse_std)
            tangent_BQC.mul_(scale_C * saved.inverse_std).addcmul_(saved.pooled_normed, v.scale).addcmul_(
                saved.pooled_mask, v.shift
            )
            tangents.append(
                BlockTangents(mask_BLC, convolved_BLC, mean_B1C, correlation_B1C, norm_term_B1C, tangent_BQC)
            )
        return tangents, self._as_image(len(tangents), tangents[-1].pooled).permute(0, 3, 1, 2).flatten(1)

    def _convolved_gradient(
        self, block: int, saved: BlockActivations, gradients: BlockGradients, scale_C: Tensor, mask_BLC: Tensor
    ) -> Tensor:
        """The derivative of the loss by the convolution's output (B, L, C)."""
        gain_B1C = saved.inverse_std * scale_C
        share_B1C = gain_B1C / -(self.sides[block] ** 2)
        out_BLC = torch.addcmul(
            share_B1C * gradients.shift, saved.centred, share_B1C * saved.inverse_std * gradients.scale
        )
        return self._add_pooling_backward(block, out_BLC, mask_BLC, gradients.pooled * (gain_B1C / 4))

    def _second_order_convolved(
        self,
        block: int,
        state: GradientState,
        tangent: BlockTangents,
        cotangent_BQC: Tensor,
        parameters: BlockParameters,
        v_parameters: BlockParameters,
    ) -> tuple[Tensor, Tensor]:
        """The derivatives by the convolution's output (B, L, C) of the loss, and of <g, v>.

        The latter comes through the block's output, by which the derivative of <g, v> is `cotangent_BQC`, and through
        the former.
        """
        saved, gradients, scale_C = state.forward[block], state.backward[block], parameters.scale
        first_order_BLC = self._convolved_gradient(block, saved, gradients, scale_C, tangent.mask)
        gain_B1C, share = saved.inverse_std * scale_C, 1 / self.sides[block] ** 2
        incoming_BQC = (cotangent_BQC * scale_C).addcmul_(
            v_parameters.scale - gain_B1C * tangent.correlation, gradients.pooled
        )
        shift_sum_B1C, scale_sum_B1C = _shift_and_scale_gradients(incoming_BQC, saved)
        convolved_factor_B1C = saved.inverse_std * gain_B1C * gradients.scale * share
        centred_factor_B1C = (
            convolved_factor_B1C * tangent.correlation
            - saved.inverse_std * (scale_sum_B1C + scale_C * tangent.norm_term) * share
        )
        constant_B1C = convolved_factor_B1C * tangent.mean - saved.inverse_std * shift_sum_B1C * share
        second_order_BLC = torch.addcmul(constant_B1C, saved.centred, centred_factor_B1C.mul_(saved.inverse_std))
        second_order_BLC.addcmul_(tangent.convolved, convolved_factor_B1C, value=-1)
        return first_order_BLC, self._add_pooling_backward(
            block, second_order_BLC, tangent.mask, incoming_BQC.mul_(saved.inverse_std / 4)
        )

    def _add_pooling_backward(self, block: int, out_BLC: Tensor, mask_BLC: Tensor, pooled_BQC: Tensor) -> Tensor:
        """Add to each pixel the number of its square of 2x2, where the ReLU passes it; in place."""
        half = self.sides[block] // 2
        pixels = (-1, half, 2, half, 2, self.width)
        out_BLC.view(pixels).addcmul_(mask_BLC.view(pixels), pooled_BQC.view(-1, half, 1, half, 1, self.width))
        return out_BLC

    def _convolve(self, block: int, inputs: Tensor, kernel: Tensor) -> Tensor:
        if not block:
            return self._product(inputs.flatten(0, 1), kernel.flatten(1).t()).view(len(inputs), -1, self.width)
        found = torch.conv2d(self._rounded(inputs.permute(0, 3, 1, 2)), self._rounded(kernel), padding=1)
        return found.to(inputs.dtype).permute(0, 2, 3, 1).flatten(1, 2)

    def _convolution_backward(
        self, block: int, grad_out_BLC: Tensor, inputs: Tensor, kernel: Tensor, *, by_kernel: bool
    ) -> tuple[Tensor, Tensor]:
        """The derivatives by what a convolution read (B, Q, C) and by its kernel, which is nothing where not asked."""
        grad_out, ones, asked = (
            self._as_image(block, grad_out_BLC).permute(0, 3, 1, 2),
            [1, 1],
            [True, by_kernel, False],
        )
        read = (self._rounded(one) for one in (grad_out, inputs.permute(0, 3, 1, 2), kernel))
        grad_inputs, found, _ = torch.ops.aten.convolution_backward(
            *read, None, ones, ones, ones, False, [0, 0], 1, asked
        )
        found = found.to(inputs.dtype) if by_kernel else found
        return grad_inputs.to(inputs.dtype).permute(0, 2, 3, 1).flatten(1, 2), found

    def _first_kernel_gradient(self, grad_out_BLC: Tensor, inputs_BLD: Tensor) -> Tensor:
        return self._product(grad_out_BLC.flatten(0, 1).t(), inputs_BLD.flatten(0, 1))

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        """The matrix product, as the first convolution has it."""
        return (self._rounded(a) @ self._rounded(b)).to(a.dtype)

    def _rounded(self, x: Tensor) -> Tensor:
        """As a convolution reads it."""
        return x.bfloat16() if self.precision == "bfloat16" and x.dtype == torch.float32 else x

    def _as_image(self, block: int, x_BLC: Tensor) -> Tensor:
        """As B x H x W x C."""
        return x_BLC.view(-1, self.sides[block], self.sides[block], self.width)

    def _average_pool(self, block: int, x_BLC: Tensor) -> Tensor:
        pooled_BCHW = functional.avg_pool2d(self._as_image(block, x_BLC).permute(0, 3, 1, 2), 2)
        return pooled_BCHW.permute(0, 2, 3, 1).flatten(1, 2)

    def _unflatten(self, features_BF: Tensor) -> Tensor:
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

    def _join(self, gradients: Sequence[Tensor]) -> Tensor:
        """One vector (P) of the linear layer's bias and weight, and of the last to the first block the norm's shift and
        scale and the kernel."""
        bias_K, head, *blocks = gradients
        bias_C = bias_K.new_zeros(self.width)
        pieces = [bias_K, head.flatten()]
        for first in range(0, len(blocks), 3):
            shift_C, scale_C, kernel = blocks[first : first + 3]
            pieces += [shift_C, scale_C, bias_C, kernel.reshape(-1)]
        return torch.cat(pieces[::-1])


def _mask(centred_BLC: Tensor, inverse_std_B1C: Tensor, scale_C: Tensor, shift_C: Tensor) -> Tensor:
    """1 where the ReLU passes its input, else 0."""
    return torch.addcmul(shift_C, centred_BLC, inverse_std_B1C * scale_C).gt_(0)


def _shift_and_scale_gradients(grad_pooled_BQC: Tensor, saved: BlockActivations) -> tuple[Tensor, Tensor]:
    """The derivatives by a norm's shift and scale, image by image (B, 1, C): sums over pixels, alone and times h."""
    return (grad_pooled_BQC * saved.pooled_mask).sum(1, keepdim=True), (grad_pooled_BQC * saved.pooled_normed).sum(
        1, keepdim=True
    )


def _second_order_norm_gradients(
    cotangent_BQC: Tensor, saved: BlockActivations, tangent: BlockTangents
) -> tuple[Tensor, Tensor]:
    """The derivatives of <g, v> by a norm's shift and scale (C)."""
    grad_shift_B1C, grad_scale_B1C = _shift_and_scale_gradients(cotangent_BQC, saved)
    return grad_shift_B1C.sum((0, 1)), grad_scale_B1C.add_(tangent.norm_term).sum((0, 1))


def _one_hot(labels_B: Tensor, like_BK: Tensor) -> Tensor:
    return torch.zeros_like(like_BK).scatter_(1, labels_B[:, None], 1.0)


def _softmax_backward(probabilities_BK: Tensor, grad_BK: Tensor) -> Tensor:
    return probabilities_BK * (grad_BK - (probabilities_BK * grad_BK).sum(1, keepdim=True))
