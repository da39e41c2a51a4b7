"""The denoiser as the published project computes it: the baseline of the diffusion benchmarks.

Every evaluation projects the condition in every layer, all in float32 and (B, C, N), and
the skip paths are stacked, then summed. The tensors have the names of the published files,
which :class:`diffusion.denoiser.Denoiser` has, too.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffusion.config import DiffusionModelConfig
from diffusion.decoder import MelDecoder


class PublishedBlock(nn.Module):
    """A gated convolution of the published WaveNet."""

    def __init__(self, channels: int, n_hidden: int) -> None:
        super().__init__()
        self.dilated_conv = nn.Conv1d(channels, 2 * channels, 3, padding=1)
        self.diffusion_projection = nn.Linear(channels, channels)
        self.conditioner_projection = nn.Conv1d(n_hidden, 2 * channels, 1)
        self.output_projection = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, x: Tensor, condition: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Residual and skip path (B, C, N)."""
        y = x + self.diffusion_projection(time).unsqueeze(-1)
        y = self.dilated_conv(y) + self.conditioner_projection(condition)
        gate, filtered = torch.chunk(y, 2, dim=1)
        y = self.output_projection(torch.sigmoid(gate) * torch.tanh(filtered))
        residual, skip = torch.chunk(y, 2, dim=1)
        return (x + residual) / math.sqrt(2.0), skip


class PublishedDenoiser(nn.Module):
    """The published WaveNet, of a model's sizes."""

    def __init__(self, config: DiffusionModelConfig, n_mels: int) -> None:
        super().__init__()
        channels = config.n_chans
        self.channels = channels
        self.input_projection = nn.Conv1d(n_mels, channels, 1)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.Mish(), nn.Linear(4 * channels, channels)
        )
        blocks = (PublishedBlock(channels, config.n_hidden) for _ in range(config.n_layers))
        self.residual_layers = nn.ModuleList(blocks)
        self.skip_projection = nn.Conv1d(channels, channels, 1)
        self.output_projection = nn.Conv1d(channels, n_mels, 1)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Prediction (B, M, N) from ``x`` (B, M, N), times ``t`` (B,) and the condition (B, H, N)."""
        half = self.channels // 2
        rates = torch.exp(torch.arange(half, device=x.device) * -(math.log(10000.0) / (half - 1)))
        angles = t[:, None] * rates[None]
        time = self.mlp(torch.cat((angles.sin(), angles.cos()), dim=-1))
        x = F.relu(self.input_projection(x))
        skips = []
        for layer in self.residual_layers:
            x, skip = layer(x, condition, time)
            skips.append(skip)
        x = torch.sum(torch.stack(skips), dim=0) / math.sqrt(len(skips))
        return self.output_projection(F.relu(self.skip_projection(x)))


def published_denoiser(decoder: MelDecoder, n_mels: int) -> PublishedDenoiser:
    """Build the published computation with the weights of a decoder's network."""
    made = PublishedDenoiser(decoder.config, n_mels).to(decoder.spec_min.device)
    made.load_state_dict(decoder.network.state_dict())
    return made
