"""Layers over frames (B, N, C): channels innermost in memory, which convolutions are fastest with.

torch's one-dimensional convolutions want time innermost, and on a CPU spend up
to half of their time on converting to the order used here and back.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HALF = (torch.float16, torch.bfloat16)
_LEVELS = 2**16  # of a random number that decides whether a value is dropped


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, groups: int = 1) -> Tensor:
    """Convolution (B, N', C') over the frames of ``x`` (B, N, C), by kernels (C', C / groups, K)."""
    # ONNX has no orders of memory, and MPS is known for wrong results with this one
    if torch.compiler.is_exporting() or x.device.type == "mps":
        return F.conv1d(x.mT, weight, bias, padding=padding, groups=groups).mT
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    x = x.to(dtype)
    fast_product = dtype in _HALF or x.size(1) == 1  # in float32 not on every processor
    if weight.size(2) == groups == 1 and fast_product:
        return F.linear(x, weight.squeeze(2).to(dtype), bias)
    kernels = weight.unsqueeze(2).to(dtype, memory_format=torch.channels_last)
    return F.conv2d(x.mT.unsqueeze(2), kernels, bias, padding=(0, padding), groups=groups).squeeze(2).mT


class FrameConv(nn.Conv1d):
    """``nn.Conv1d`` over frames, with padding and groups; its tensors have the same names and shapes."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N', C') from ``x`` (B, N, C)."""
        return convolve(x, self.weight, self.bias, int(self.padding[0]), self.groups)


def store_innermost(network: nn.Module) -> None:
    """Reorder the kernels of a network's :class:`FrameConv`, which otherwise every call does.

    For inference alone: optimizers expect the usual order. On MPS, see :func:`convolve`, it stays.
    """
    for conv in network.modules():
        if isinstance(conv, FrameConv) and conv.weight.device.type != "mps":
            conv.weight.data = conv.weight.data.mT.clone(memory_format=torch.contiguous_format).mT


class ChannelNorm(nn.Module):
    """Layer normalization of every frame over its channels, by its published tensor names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x`` (B, N, C)."""
        return F.layer_norm(x, self.gamma.shape, self.gamma, self.beta)


class Dropout(nn.Dropout):
    """``nn.Dropout``, six times as fast on a CPU, whose generator gives torch one number at a time.

    It is seeded from torch's global generator, so a resumed run drops the same values.
    ``p`` is rounded to a multiple of 2^-16.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with some values 0 and the others larger."""
        if not self.training or self.p in (0, 1) or x.device.type != "cpu":
            return super().forward(x)
        kept = round((1 - self.p) * _LEVELS)
        source = np.random.SFC64(int(torch.randint(2**31, ())))
        numbers = torch.from_numpy(source.random_raw(-(-x.numel() // 4)).view(np.int16))
        mask = torch.empty_like(x, requires_grad=False)
        torch.lt(numbers[: x.numel()].view(x.shape), kept - _LEVELS // 2, out=mask)  # without a mask of bool
        return x * mask.mul_(_LEVELS / kept)
