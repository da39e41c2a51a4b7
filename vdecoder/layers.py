"""Convolutions of the neural vocoders: published weights, laid out for speed.

Tensors are (B, C, 1, T) with the channels innermost in memory (torch's
channels_last). torch's one-dimensional convolutions keep time innermost, and on
a CPU spend a third of their time on converting between the two layouts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vdecoder.fused import conv_add, conv_leaky_relu, pack

_LAST = torch.channels_last


class _WeightNorm(nn.Module):
    """Weight norm: a direction ``weight_v`` (A, B, K) times a length ``weight_g`` (A, 1, 1), to be folded."""

    bias: nn.Parameter
    weight: Tensor
    weight_g: nn.Parameter
    weight_v: nn.Parameter

    def __init__(self, shape: tuple[int, int, int], n_out: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(n_out), requires_grad=False)
        self.weight_g = nn.Parameter(torch.empty(shape[0], 1, 1), requires_grad=False)
        self.weight_v = nn.Parameter(torch.empty(shape), requires_grad=False)

    def fold(self) -> None:
        """Replace the pair by its product, the weight."""
        length = torch.linalg.vector_norm(self.weight_v, dim=(1, 2), keepdim=True)
        weight = self._arranged(self.weight_v * (self.weight_g / length))
        del self.weight_g, self.weight_v
        self.register_buffer("weight", weight)

    def _arranged(self, weight: Tensor) -> Tensor:
        raise NotImplementedError


class _FusedConv(_WeightNorm):
    """A convolution along T, with what follows it in the same pass where that is possible."""

    dilation = 1
    margin = 0  # zeros before and after the input
    packed: Tensor | None = None

    def pack(self) -> None:
        """Prepare the fused form; for use when folded, on its device and in its precision."""
        self.packed = pack(self.weight, self.margin, self.dilation)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over; oneDNN's layout cannot be copied, so a copy is not packed."""
        return {**self.__dict__, "packed": None}

    def _conv(self, x: Tensor, slope: float | None = None, plus: Tensor | None = None) -> Tensor:
        x = x.to(self.weight.dtype)  # the first and last layers of a network may have another precision
        if self.packed is None:
            y = F.conv2d(x, self.weight, self.bias, padding=(0, self.margin), dilation=(1, self.dilation))
            y = y if plus is None else y.add_(plus)
            return y if slope is None else F.leaky_relu_(y, slope)
        if plus is None:
            return conv_leaky_relu(x, self.packed, self.bias, self.margin, self.dilation, slope)
        y = conv_add(x, self.packed, self.bias, self.margin, self.dilation, plus)
        return y if slope is None else F.leaky_relu_(y, slope)


class Conv(_FusedConv):
    """A convolution that keeps the length; for use after :meth:`fold`."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__((n_out, n_in, kernel_size), n_out)
        self.dilation = dilation
        self.reach = self.margin = (kernel_size - 1) * dilation // 2  # samples on either side

    def _arranged(self, weight: Tensor) -> Tensor:
        return weight.unsqueeze(2).contiguous(memory_format=_LAST)

    def forward(self, x: Tensor, slope: float | None = None, plus: Tensor | None = None) -> Tensor:
        """Map (B, C_in, 1, T) to a new (B, C_out, 1, T).

        Args:
            x: The input.
            slope: Apply leaky_relu to the result.
            plus: (B, C_out, 1, T), added before that.
        """
        return self._conv(x, slope, plus)


class OutputConv(_WeightNorm):
    """A convolution to one channel, one product per tap; convolution routines are slow for it."""

    def __init__(self, n_in: int, kernel_size: int) -> None:
        super().__init__((1, n_in, kernel_size), 1)
        self.dilation, self.reach = 1, kernel_size // 2

    def _arranged(self, weight: Tensor) -> Tensor:
        return weight[0]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, 1, T) to (B, T)."""
        taps = self.weight  # (C_in, K)
        products = F.pad(x[:, :, 0].mT.to(taps.dtype) @ taps, (0, 0, self.reach, self.reach))
        length = x.shape[3]
        return self.bias + sum(
            (products[:, tap : tap + length, tap] for tap in range(1, taps.shape[1])), products[:, :length, 0]
        )


class Upsample(_FusedConv):
    """A transposed convolution as a convolution to ``stride`` times the channels.

    With the channels innermost, (T, stride * C) is the same as (T * stride, C).
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__((n_in, n_out, kernel_size), n_out)
        self.stride, self.padding, self.kernel_size = stride, padding, kernel_size
        self.n_taps = -(-kernel_size // stride)  # input samples per output sample
        self.reach = self.n_taps  # input samples, on either side
        self.margin = self.n_taps - 1

    def _arranged(self, weight: Tensor) -> Tensor:
        n_in, n_out, kernel_size = weight.shape
        padded = F.pad(weight, (0, self.n_taps * self.stride - kernel_size))
        taps = padded.view(n_in, n_out, self.n_taps, self.stride).flip(2)
        self.bias = nn.Parameter(self.bias.repeat(self.stride), requires_grad=False)
        arranged = taps.permute(3, 1, 0, 2).reshape(self.stride * n_out, n_in, 1, self.n_taps)
        return arranged.contiguous(memory_format=_LAST)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, 1, T) to (B, C_out, 1, T * stride)."""
        length = (x.shape[3] - 1) * self.stride + self.kernel_size - 2 * self.padding
        rows = self._conv(x).permute(0, 2, 3, 1).reshape(len(x), 1, -1, len(self.bias) // self.stride)
        return rows[:, :, self.padding : self.padding + length].permute(0, 3, 1, 2)


class Inject(nn.Module):
    """Strided convolution of the excitation to a stage's rate and channels, without weight norm."""

    def __init__(self, n_out: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.kernel_size = 2 * stride if stride > 1 else 1
        self.weight = nn.Parameter(torch.empty(n_out, 1, self.kernel_size), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(n_out), requires_grad=False)

    def forward(self, excitation: Tensor, start: int, stop: int) -> Tensor:
        """Outputs ``start`` to ``stop``, (B, C, 1, stop - start), of the whole excitation (B, T)."""
        first = start * self.stride - self.padding
        last = (stop - 1) * self.stride - self.padding + self.kernel_size
        n_samples = excitation.shape[1]
        part = excitation[:, max(0, first) : min(last, n_samples)]
        part = F.pad(part, (max(0, -first), max(0, last - n_samples)))
        frames = part.to(self.weight.dtype).unfold(1, self.kernel_size, self.stride)
        return F.linear(frames, self.weight[:, 0], self.bias).mT.unsqueeze(2)


def fold_all(network: nn.Module) -> None:
    """Fold every weight norm inside ``network``."""
    for module in network.modules():
        if isinstance(module, _WeightNorm):
            module.fold()


def pack_all(network: nn.Module) -> None:
    """Prepare the fused form of every convolution inside ``network``, where it has one."""
    for module in network.modules():
        if isinstance(module, _FusedConv):
            module.pack()
