"""SnakeBeta without aliasing: a periodic activation between two halfband filters.

x + sin²(ax)/b (Ziyin, Hartwig and Ueda 2020) creates harmonics that may alias.
BigVGAN (Lee et al. 2022) therefore applies it at twice the rate, with filters
before and after. The filters are buffers in the state dict, and those of the
file are used.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_TAPS = 12


def halfband() -> Tensor:
    """The filter (1, 1, 12) of published models: a Kaiser-windowed sinc that sums to 1."""
    attenuation = 2.285 * (N_TAPS // 2 - 1) * math.pi * 4 * 0.3 + 7.95  # dB; for a half width of 0.3
    beta = 0.1102 * (attenuation - 8.7)  # Kaiser's rule above 50 dB
    window = torch.kaiser_window(N_TAPS, periodic=False, beta=beta, dtype=torch.float64)
    taps = window * torch.sinc((torch.arange(N_TAPS) - (N_TAPS - 1) / 2).double() / 2)
    return (taps / taps.sum()).float().view(1, 1, N_TAPS)


class _Filter(nn.Module):
    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", halfband())


class _Upsample(_Filter):
    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 1, 2T): each of the two phases depends on six samples, the second half a sample later."""
        taps = 2 * self.filter.flip(2)  # twice, since every other sample is 0
        padded = F.pad(x, (3, 3, 0, 0), mode="replicate")
        even = _per_channel(padded[..., :-1], taps[..., 0::2])
        odd = _per_channel(padded[..., 1:], taps[..., 1::2])
        return torch.stack([even, odd], 4).flatten(3)


class _LowPass(_Filter):
    def forward(self, x: Tensor) -> Tensor:
        """Every other sample (B, C, 1, T) of the filtered (B, C, 1, 2T)."""
        return _per_channel(F.pad(x, (5, 6, 0, 0), mode="replicate"), self.filter, stride=2)


class _SnakeBeta(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels), requires_grad=False)  # ln of the frequency
        self.beta = nn.Parameter(torch.zeros(channels), requires_grad=False)  # ln of 1 / height

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta = (parameter.exp().view(-1, 1, 1) for parameter in (self.alpha, self.beta))
        return torch.addcmul(x, (x * alpha).sin_().square_(), 1 / (beta + 1e-9))


class Snake(nn.Module):
    """The activation, with the published names ``act``, ``upsample`` and ``downsample.lowpass``."""

    reach = 6  # samples on either side

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = _SnakeBeta(channels)
        self.upsample = _Upsample()
        self.downsample = nn.Sequential(OrderedDict(lowpass=_LowPass()))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, 1, T) to the same shape."""
        activated = self.downsample(self.act(self.upsample(x.float())))
        return activated.to(x.dtype).contiguous(memory_format=torch.channels_last)


def _per_channel(x: Tensor, taps: Tensor, stride: int = 1) -> Tensor:
    weight = taps.to(x).unsqueeze(2).expand(x.shape[1], 1, 1, -1)
    return F.conv2d(x, weight, stride=(1, stride), groups=x.shape[1])
