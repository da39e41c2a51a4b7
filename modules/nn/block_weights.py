"""What the blocks of a flow compute with, as far as it depends on the weights alone: for all blocks at once.

Weight norm, the change of format and of order, and determinants take a few operators for each weight.
In a small model's training step, which repeats them, these would take longer than the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from modules.nn.quarters import GROUPS, sort_channels
from modules.nn.wavenet import WeightNormConv1d

if TYPE_CHECKING:
    from modules.nn.flow import Block


class BlockWeights(NamedTuple):
    """Weights of a block; its WaveNet has L layers of H channels, with kernels of T frames.

    K is that of quarters.py. Those of the WaveNet, and of the layers about it, are in its number format.
    """

    scale: Tensor  # (4, 1, 1, K), of the ActNorm
    shift: Tensor  # (4, 1, 1, K)
    mixing: Tensor  # (4, 4)
    pre: Tensor  # (H, 2 K)
    pre_bias: Tensor  # (H,)
    condition: Tensor  # (L, B, 1 or N, 2 H), with the bias of the gated convolutions
    gated: Tensor  # (L, 2 H, T, H)
    residual: Tensor  # (L - 1, H, H)
    residual_bias: Tensor  # (L - 1, H)
    post: Tensor  # (4 K, L H): the last convolution of the coupling, times those of the skip paths
    post_bias: Tensor  # (4 K,)


def block_weights(blocks: Sequence[Block], g: Tensor, dtype: torch.dtype) -> list[BlockWeights]:
    """Weights of every block, for speakers ``g`` (B, 1 or N, gin_channels).

    The WaveNets, without depthwise convolutions, compute in ``dtype``; there is one for each
    block, or one for all.
    """
    norms, mixings, couplings = zip(*blocks, strict=True)
    nets = list(dict.fromkeys(coupling.enc for coupling in couplings))
    n_layers, size = len(nets[0].in_layers), couplings[0].pre.out_channels

    logs, shift = (
        sort_channels(torch.stack([getattr(norm, name).flatten() for norm in norms]), 2, 1)
        for name in ("logs", "bias")
    )
    pre = torch.stack([coupling.pre.weight[:, :, 0] for coupling in couplings])
    post = sort_channels(torch.stack([coupling.post.weight[:, :, 0] for coupling in couplings]), 2, 1)
    post_bias = sort_channels(torch.stack([coupling.post.bias for coupling in couplings]), 2, 1)

    gated = _kernels([conv for net in nets for conv in net.in_layers], dtype)
    condition = _kernels([net.cond_layer for net in nets], dtype).squeeze(1)
    biases = [torch.cat([net.cond_layer.bias, *(conv.bias for conv in net.in_layers)]) for net in nets]
    condition_bias = torch.stack(biases).unflatten(1, (2, -1)).sum(1).flatten()
    conditions = F.linear(g.to(dtype), condition, condition_bias.to(dtype))

    # of each WaveNet: residual path, skip path, residual path, ..., skip path
    mixes = _kernels([conv for net in nets for conv in net.res_skip_layers], dtype)
    mixes = mixes.view(len(nets), 2 * n_layers - 1, size, size)
    mix_bias = torch.cat([conv.bias for net in nets for conv in net.res_skip_layers]).to(dtype)
    mix_bias = mix_bias.view(len(nets), 2 * n_layers - 1, size)
    skips, skip_bias = (torch.cat((x[:, 1::2], x[:, -1:]), 1) for x in (mixes, mix_bias))
    post = post.to(dtype)
    stacked = BlockWeights(
        scale=logs.exp().view(len(blocks), GROUPS, 1, 1, -1),
        shift=shift.view(len(blocks), GROUPS, 1, 1, -1),
        mixing=torch.stack([mixing.weight for mixing in mixings]),
        pre=sort_channels(pre, 1, 2).to(dtype),
        pre_bias=torch.stack([coupling.pre.bias for coupling in couplings]).to(dtype),
        condition=conditions.unflatten(2, (len(nets), n_layers, -1)).permute(2, 3, 0, 1, 4),
        gated=gated.unflatten(0, (len(nets), n_layers, -1)),
        residual=mixes[:, :-1:2],
        residual_bias=mix_bias[:, :-1:2],
        post=post @ skips.transpose(1, 2).flatten(2),
        post_bias=post_bias.to(dtype) + (post @ skip_bias.sum(1).unsqueeze(2)).squeeze(2),
    )
    each = (weight.expand(len(blocks), *weight.shape[1:]).unbind() for weight in stacked)
    return [BlockWeights(*weights) for weights in zip(*each, strict=True)]


def log_volume(blocks: Sequence[Block]) -> Tensor:
    """log|det| of all ActNorms and mixings for one group of frames, a scalar."""
    logs = torch.cat([norm.logs.flatten() for norm, _, _ in blocks])
    mixings = torch.stack([mixing.weight for _, mixing, _ in blocks])
    size = len(logs) // len(blocks) // GROUPS
    # not logdet: in training the determinant may become negative, whose log is NaN
    return logs.sum() + torch.linalg.slogdet(mixings).logabsdet.sum() * size


def _kernels(convs: Sequence[WeightNormConv1d], dtype: torch.dtype) -> Tensor:
    """Kernels of all convolutions (sum of C', T, C), one after the other, channels innermost."""
    directions, lengths = (torch.cat([getattr(c, name) for c in convs]) for name in ("weight_v", "weight_g"))
    return torch._weight_norm(directions, lengths, 0).to(dtype).mT.contiguous()
