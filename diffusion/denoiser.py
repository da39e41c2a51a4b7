"""The network that separates noise from mel.

A WaveNet without dilation, conditioned on the time and, frame by frame, on
units, F0, volume and speaker (DiffSinger, Liu et al., 2021, as in the published project).
Module names are those of the published checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_SLOWEST = 10000.0  # ratio of the slowest to the fastest wave of the time embedding


def embed_time(t: Tensor, channels: int) -> Tensor:
    """Sines, then cosines (B, channels), of times ``t`` (B,), in steps."""
    half = channels // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(_SLOWEST) / (half - 1)))
    angles = t.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv1d:
    conv = nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
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

    def forward(self, x: Tensor, condition: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Residual and skip path, (B, C, N) each; ``condition`` is (B, H, N), the embedded time (B, C)."""
        shifted = x + self.diffusion_projection(time).unsqueeze(2)
        gate, filtered = (self.dilated_conv(shifted) + self.conditioner_projection(condition)).chunk(2, 1)
        residual, skip = self.output_projection(torch.sigmoid(gate) * torch.tanh(filtered)).chunk(2, 1)
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

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Prediction (B, M, N) from the noised mel ``x``, normalised, and the ``condition`` (B, H, N).

        ``t`` (B,) are times in steps, whole or not.
        """
        x = torch.relu(self.input_projection(x))
        time = self.mlp(embed_time(t, self.n_chans).to(x.dtype))
        skips = torch.zeros_like(x)
        for layer in self.residual_layers:
            x, skip = layer(x, condition, time)
            skips = skips + skip
        skips = skips * len(self.residual_layers) ** -0.5
        return self.output_projection(torch.relu(self.skip_projection(skips)))
