"""Layer normalization over the channels of (B, C, N), by its published tensor names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Normalize every frame over its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x`` (B, C, N)."""
        x = x.transpose(1, 2)
        return F.layer_norm(x, self.gamma.shape, self.gamma, self.beta).transpose(1, 2)
