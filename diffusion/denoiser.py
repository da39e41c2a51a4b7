"""The network that separates noise from mel.

A WaveNet without dilation, conditioned on the time and, frame by frame, on
units, F0, volume and speaker (DiffSinger, Liu et al., 2021, as in the published project).
Module names are those of the published checkpoints. Inside, tensors are (B, N, C): see
modules/nn/frames.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from modules.nn.frames import FrameConv, store_innermost

_SLOWEST = 10000.0  # ratio of the slowest to the fastest wave of the time embedding


def embed_time(t: Tensor, channels: int) -> Tensor:
    """Sines, then cosines (B, channels), of times ``t`` (B,), in steps."""
    half = channels // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(_SLOWEST) / (half - 1)))
    angles = t.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> FrameConv:
    conv = FrameConv(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    nn.init.kaiming_normal_(conv.weight)
    return conv


class ResidualBlock(nn.Module):
    """One gated convolution."""

    def __init__(self, channels: int, n_hidden: int) -> None:
        super().__init__()
        self.dilated_conv = _conv(channels, 2 * channels, 3)
        self.diffusion_projection = nn.Linear(channels, channels)
        self.conditioner_projection = _conv(n_hidden, 2 * channels, 1)
        self.output_projection = _conv(channels, 2 * channels, 1)

    def forward(self, x: Tensor, projected: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Residual and skip path, (B, N, C) each.

        ``projected`` (B, N, 2C) is the condition after ``conditioner_projection``; ``time`` (B, C) is
        embedded.
        """
        shifted = x + self.diffusion_projection(time).unsqueeze(1)
        gate, filtered = (self.dilated_conv(shifted) + projected).chunk(2, 2)
        residual, skip = self.output_projection(torch.sigmoid(gate) * torch.tanh(filtered)).chunk(2, 2)
        return (x + residual) * math.sqrt(0.5), skip


class Denoiser(nn.Module):
    """A WaveNet over a noised mel; ``n_chans``, C, is even, ``n_hidden`` is H."""

    def __init__(self, n_mels: int, n_layers: int, n_chans: int, n_hidden: int) -> None:
        super().__init__()
        self.n_chans = n_chans
        self.input_projection = _conv(n_mels, n_chans, 1)
        self.mlp = nn.Sequential(nn.Linear(n_chans, 4 * n_chans), nn.Mish(), nn.Linear(4 * n_chans, n_chans))
        self.residual_layers = nn.ModuleList(ResidualBlock(n_chans, n_hidden) for _ in range(n_layers))
        self.skip_projection = _conv(n_chans, n_chans, 1)
        self.output_projection = _conv(n_chans, n_mels, 1)
        nn.init.zeros_(self.output_projection.weight)  # an untrained network predicts 0

    def in_precision(self, dtype: torch.dtype) -> Denoiser:
        """Convert the weights to ``dtype`` and to the order that convolutions read, for inference.

        Otherwise every evaluation converts them again. Returns the network.
        """
        store_innermost(self.to(dtype))
        return self

    def project(self, condition: Tensor) -> Iterator[Tensor]:
        """Yield what each layer adds, (B, N, 2C), for the condition (B, H, N): the same at all times."""
        frames = condition.mT.contiguous()
        for layer in self.residual_layers:
            yield layer.conditioner_projection(frames)  # type: ignore[operator, union-attr]

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | Sequence[Tensor]) -> Tensor:
        """Prediction (B, M, N) from the noised mel ``x``, normalised, and the ``condition`` (B, H, N).

        ``t`` (B,) are times in steps, whole or not. The condition may be what :meth:`project`
        yields for it, so that several evaluations share that.
        """
        x = torch.relu(self.input_projection(x.mT.contiguous()))
        time = self.mlp(embed_time(t, self.n_chans).to(x.dtype))
        skips = torch.zeros_like(x)
        given = self.project(condition) if isinstance(condition, Tensor) else condition
        for layer, projected in zip(self.residual_layers, given, strict=True):
            x, skip = layer(x, projected, time)
            skips = skips + skip
        skips = skips * len(self.residual_layers) ** -0.5
        return self.output_projection(torch.relu(self.skip_projection(skips))).mT
