"""Convolutions that find in the units what a narrow text encoder loses: mainly consonants."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modules.nn.frames import ChannelNorm, Dropout, FrameConv

_KERNEL = 5  # frames


class Prenet(nn.Module):
    """Residual convolutions over the units, whose output is added to the text encoder's input.

    The output starts at zero, so a trained model to which a prenet is added begins as it was.

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
