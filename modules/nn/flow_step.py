"""A block of the flow in training, as one operator whose gradient is written out.

autograd would record some hundred operators of flow.py and wavenet.py, which with a small model
take as long as the products in them. A test holds the results and gradients to theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from modules.nn.block_weights import BlockWeights


class FlowStep(torch.autograd.Function):
    """ActNorm, channel mixing and coupling of ``x`` (4, B, N, K), and the sum of log scales (B,).

    The arguments are ``x``, its mask (B, N, 1), and the :class:`BlockWeights`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        w = BlockWeights(*weights)
        normed = torch.addcmul(w.shift, x, w.scale)
        z = (w.mixing @ normed.flatten(1)).view_as(x)
        kept, changed = z.chunk(2)

        real, size = mask.to(w.pre.dtype), w.pre.size(0)
        channels = _to_frames((kept,), w.pre.dtype)
        hidden = F.linear(channels, w.pre, w.pre_bias).mul_(real)
        n_layers = len(w.gated)
        inputs, gates = [hidden], []
        acts = hidden.new_empty(*hidden.shape[:2], n_layers, size)
        for i in range(n_layers):
            both = _convolve(hidden, w.gated[i]).add_(w.condition[i])
            filtered, gate = torch.tanh(both[..., :size]), torch.sigmoid(both[..., size:])
            act = torch.mul(filtered, gate, out=acts[:, :, i])
            gates += [filtered, gate]
            if i < n_layers - 1:
                hidden = F.linear(act, w.residual[i], w.residual_bias[i]).add_(hidden).mul_(real)
                inputs.append(hidden)
        out = F.linear(acts.flatten(2), w.post, w.post_bias)
        shift, logs = _to_quarters(out, x).chunk(2)
        logs.mul_(mask)
        logdet = logs.sum((0, 2, 3))
        factor = logs.exp_()
        scaled = changed * factor
        torch.add(scaled, shift, out=changed)
        ctx.save_for_backward(normed, mask, real, scaled, factor, channels, acts, *inputs, *gates, *weights)
        return z, logdet

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the arguments."""
        dz, dlogdet = gradients
        normed, mask, real, scaled, factor, channels, acts, *rest = ctx.saved_tensors
        n_layers = acts.size(2)
        inputs, gates, w = rest[:n_layers], rest[n_layers : 3 * n_layers], BlockWeights(*rest[3 * n_layers :])
        dkept, dchanged = dz.chunk(2)

        dlogs = torch.addcmul(dlogdet[:, None, None], dchanged, scaled).mul_(mask)
        dout = _to_frames((dchanged, dlogs), acts.dtype)
        dpost = _product_gradient(dout, acts.flatten(2))
        dacts = (dout @ w.post).view_as(acts)
        dcondition, dgated = torch.empty_like(w.condition), torch.empty_like(w.gated)
        dresidual, dresidual_bias = torch.empty_like(w.residual), torch.empty_like(w.residual_bias)
        dhidden = acts.new_zeros(())  # the last layer has no residual path
        for i in reversed(range(n_layers)):
            dact = dacts[:, :, i]
            if i < n_layers - 1:
                dresidual[i] = _product_gradient(dhidden, acts[:, :, i])
                dresidual_bias[i] = dhidden.sum((0, 1))
                dact = dact + dhidden @ w.residual[i]
            filtered, gate = gates[2 * i : 2 * i + 2]
            dfiltered = torch.ops.aten.tanh_backward(dact * gate, filtered)
            dgate = torch.ops.aten.sigmoid_backward(dact * filtered, gate)
            dboth = torch.cat((dfiltered, dgate), 2)
            dcondition[i] = dboth.sum_to_size(dcondition[i].shape)
            dinput, dgated[i] = _convolution_gradients(dboth, inputs[i], w.gated[i])
            dhidden = (dhidden + dinput).mul_(real)

        dmixed = torch.empty_like(dz)
        torch.add(dkept, _to_quarters(dhidden @ w.pre, dz), out=dmixed[:2])
        torch.mul(dchanged, factor, out=dmixed[2:])
        dmixing = dmixed.flatten(1) @ normed.flatten(1).mT
        dnormed = (w.mixing.mT @ dmixed.flatten(1)).view_as(dz)
        dshift = dnormed.sum((1, 2), keepdim=True)
        dscale = ((dnormed * normed).sum((1, 2), keepdim=True) - w.shift * dshift) / w.scale
        found = BlockWeights(
            scale=dscale,
            shift=dshift,
            mixing=dmixing,
            pre=_product_gradient(dhidden, channels),
            pre_bias=dhidden.sum((0, 1)),
            condition=dcondition,
            gated=dgated,
            residual=dresidual,
            residual_bias=dresidual_bias,
            post=dpost,
            post_bias=dout.sum((0, 1)),
        )
        return dnormed.mul_(w.scale), None, *found


def _to_frames(halves: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Channels (B, N, Q K) of halves of quarters (2, B, N, K), in another format."""
    shape = halves[0].shape
    frames = halves[0].new_empty(*shape[1:3], len(halves), 2, shape[3], dtype=dtype)
    for i, half in enumerate(halves):
        frames[:, :, i].copy_(half.permute(1, 2, 0, 3))
    return frames.flatten(2)


def _to_quarters(x: Tensor, like: Tensor) -> Tensor:
    """Quarters (Q, B, N, K) of channels (B, N, Q K), in the format of ``like``."""
    parts = x.unflatten(2, (-1, like.size(3))).permute(2, 0, 1, 3)
    return like.new_empty(parts.shape).copy_(parts)


def _convolve(x: Tensor, kernels: Tensor) -> Tensor:
    """Convolution (B, N, C') of ``x`` (B, N, C) by kernels (C', T, C)."""
    x, kernels = x.mT.unsqueeze(2), kernels.mT.unsqueeze(2)  # channels stay innermost in memory
    return F.conv2d(x, kernels, padding=(0, kernels.size(3) // 2)).squeeze(2).mT


def _convolution_gradients(grad: Tensor, x: Tensor, kernels: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ``x`` and of the kernels of :func:`_convolve`."""
    size, padding = kernels.size(1), kernels.size(1) // 2
    by_product = grad.device.type == "cpu" and grad.dtype in (torch.float16, torch.bfloat16)
    tensors = [tensor.mT.unsqueeze(2) for tensor in (grad, x, kernels)]
    settings = None, (1, 1), (0, padding), (1, 1), False, (0, 0), 1
    wanted = True, not by_product, False
    dx, dkernels, _ = torch.ops.aten.convolution_backward(*tensors, *settings, wanted)
    if not by_product:
        return dx.squeeze(2).mT, dkernels.squeeze(2).mT
    # oneDNN takes a third longer for this gradient than for the product that it is
    windows = F.pad(x, (0, 0, padding, padding)).unfold(1, size, 1).mT.flatten(2)
    return dx.squeeze(2).mT, _product_gradient(grad, windows).view_as(kernels)


def _product_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Gradient (C', C) of the weights by which (B, N, C') was made of ``x`` (B, N, C)."""
    return grad.flatten(0, 1).mT @ x.flatten(0, 1)
