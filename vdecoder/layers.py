"""Convolutions of the neural vocoders: published weights, laid out for speed.

Tensors are (B, C, 1, T) with the channels innermost in memory (torch's
channels_last). torch's one-dimensional convolutions keep time innermost, and on
a CPU spend a third of their time on converting between the two layouts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


class Conv(_WeightNorm):
    """A convolution that keeps the length; for use after :meth:`fold`."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__((n_out, n_in, kernel_size), n_out)
        self.dilation = dilation
        self.reach = (kernel_size - 1) * dilation // 2  # samples on either side

    def _arranged(self, weight: Tensor) -> Tensor:
        return weight.unsqueeze(2).contiguous(memory_format=_LAST)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, 1, T) to (B, C_out, 1, T)."""
        x = x.to(self.weight.dtype)  # the first and last layers of a network may have another precision
        return F.conv2d(x, self.weight, self.bias, padding=(0, self.reach), dilation=(1, self.dilation))


class OutputConv(Conv):
    """A convolution to one channel, one product per tap; convolution routines are slow for it."""

    def __init__(self, n_in: int, kernel_size: int) -> None:
        super().__init__(n_in, 1, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, 1, T) to (B, T)."""
        taps = self.weight[0, :, 0]  # (C_in, K)
        products = F.pad(x[:, :, 0].mT.to(taps.dtype) @ taps, (0, 0, self.reach, self.reach))
        length = x.shape[3]
        return self.bias + sum(
            (products[:, tap : tap + length, tap] for tap in range(1, taps.shape[1])), products[:, :length, 0]
        )


class Upsample(_WeightNorm):
    """A transposed convolution as one matrix product with ``stride`` times the channels.

    With the channels innermost, (T, stride * C) is the same as (T * stride, C).
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__((n_in, n_out, kernel_size), n_out)
        self.stride, self.padding, self.kernel_size = stride, padding, kernel_size
        self.n_taps = -(-kernel_size // stride)  # input samples per output sample
        self.reach = self.n_taps  # input samples, on either side

    def _arranged(self, weight: Tensor) -> Tensor:
        n_in, n_out, kernel_size = weight.shape
        padded = F.pad(weight, (0, self.n_taps * self.stride - kernel_size))
        taps = padded.view(n_in, n_out, self.n_taps, self.stride).flip(2)
        self.bias = nn.Parameter(self.bias.repeat(self.stride), requires_grad=False)
        return taps.permute(3, 1, 0, 2).reshape(self.stride * n_out, n_in * self.n_taps)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, 1, T) to (B, C_out, 1, T * stride)."""
        length = (x.shape[3] - 1) * self.stride + self.kernel_size - 2 * self.padding
        rows = x[:, :, 0].mT.to(self.weight.dtype)
        seen = F.pad(rows, (0, 0, self.n_taps - 1, self.n_taps - 1)).unfold(1, self.n_taps, 1).flatten(2)
        y = F.linear(seen, self.weight, self.bias).view(len(x), 1, -1, len(self.bias) // self.stride)
        return y[:, :, self.padding : self.padding + length].permute(0, 3, 1, 2)


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
