"""The text encoder: from units and F0 to the prior of the mel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modules.config import ModelConfig
from modules.dsp.f0 import F0_BINS, f0_to_coarse
from modules.nn.attention import Transformer
from modules.nn.frames import ChannelNorm, Dropout, FrameConv

_KERNEL = 5  # frames, of a prenet


class ConvReluNorm(nn.Module):
    """The deeper alternative to the convolution that reads the units (``use_crn_pre``)."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, n_layers: int = 3) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(
            FrameConv(channels, channels, kernel_size, padding=kernel_size // 2) for _ in range(n_layers)
        )
        self.norm_layers = nn.ModuleList(ChannelNorm(channels) for _ in range(n_layers))
        self.pre = FrameConv(in_channels, channels, kernel_size, padding=kernel_size // 2)
        self.proj = FrameConv(channels, channels, 1)
        self.drop = Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, channels) from ``x`` (B, N, in_channels)."""
        entry = x = self.pre(x)
        for conv, norm in zip(self.conv_layers, self.norm_layers, strict=True):
            x = self.drop(torch.relu(norm(conv(x))))
        return entry + self.proj(x)


class Prenet(nn.Module):
    """Residual convolutions over the units (``prenet_channels``), added to what reads them.

    They find what a narrow text encoder loses, mainly consonants. The output starts at zero, so
    a trained model to which a prenet is added begins as it was.

    Args:
        in_channels: D, of the units.
        channels: Width of the convolutions.
        out_channels: C, of the text encoder.
        n_layers: Number of residual layers.
        p_dropout: Dropout in each.
    """

    def __init__(
        self, in_channels: int, channels: int, out_channels: int, n_layers: int, p_dropout: float
    ) -> None:
        super().__init__()
        self.pre = FrameConv(in_channels, channels, _KERNEL, padding=_KERNEL // 2)
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in range(n_layers + 1))
        self.convs = nn.ModuleList(
            FrameConv(channels, channels, _KERNEL, padding=_KERNEL // 2) for _ in range(n_layers)
        )
        self.drop = Dropout(p_dropout)
        self.proj = FrameConv(channels, out_channels, 1)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)  # type: ignore[arg-type]

    def forward(self, units: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, N, C) from units (B, N, D), which are 0 outside the mask (B, N, 1); None: all are real."""
        x = self.pre(units)
        *norms, last_norm = self.norms
        for norm, conv in zip(norms, self.convs, strict=True):
            hidden = torch.relu(norm(x))
            x = x + self.drop(conv(hidden if mask is None else hidden * mask.to(hidden.dtype)))
        return self.proj(torch.relu(last_norm(x)))


class TextEncoder(nn.Module):
    """From embedded units and F0 to the prior of the mel."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.hidden_channels
        self.proj = FrameConv(channels, 2 * config.inter_channels, 1)
        self.f0_emb = nn.Embedding(F0_BINS, channels)
        self.enc_ = Transformer(config)

    def forward(self, x: Tensor, f0: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log deviation (B, M, N), zero outside the mask, from ``x`` (B, C, N) and F0 (B, N), Hz."""
        mask = mask.mT
        x = x.mT + self.f0_emb(f0_to_coarse(f0))
        m_p, logs_p = (self.proj(self.enc_(x, mask)) * mask).mT.chunk(2, 1)
        return m_p, logs_p
