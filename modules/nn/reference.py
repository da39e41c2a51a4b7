"""What the speaker tables of a model hold, from recordings of the speaker instead of training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.nn.frames import ChannelNorm, FrameConv

PREFIX = "reference."  # of its tensors' names in a base model
_WIDTH, _N_BLOCKS, _KERNEL = 192, 3, 5
_MEAN, _DEVIATION = -5.0, 2.5  # of log-mels, roughly


class ReferenceEncoder(nn.Module):
    """Vectors of a speaker, from any recording: convolutions, then attentive statistics over time.

    The pooling is that of Okabe et al. (2018): mean and deviation of every channel, each with
    weights of its own, so that pauses and noise count little and the length does not matter.

    Args:
        n_mels: M, bins of the log-mel.
        sizes: Channels of each vector.
    """

    def __init__(self, n_mels: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.pre = FrameConv(2 * n_mels, _WIDTH, _KERNEL, padding=_KERNEL // 2)
        self.convs = nn.ModuleList(
            FrameConv(_WIDTH, _WIDTH, _KERNEL, padding=_KERNEL // 2) for _ in range(_N_BLOCKS)
        )
        self.norms = nn.ModuleList(ChannelNorm(_WIDTH) for _ in range(_N_BLOCKS))
        self.attention = FrameConv(_WIDTH, _WIDTH, 1)
        self.out = nn.Linear(2 * _WIDTH, sum(sizes))

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        """Vectors (B, C, 1), one for each of ``sizes``, of natural log-mels (B, M, N), N ≥ 2."""
        x = (mel[:, :, : mel.size(2) // 2 * 2] - _MEAN) / _DEVIATION
        x = self.pre(x.mT.reshape(len(x), -1, 2 * x.size(1)))  # pairs of frames
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + F.gelu(conv(norm(x)))
        x = x.float()
        weights = self.attention(x).float().softmax(1)
        mean = (weights * x).sum(1)
        variance = (weights * (x - mean.unsqueeze(1)).square()).sum(1)
        vectors = self.out(torch.cat((mean, (variance + 1e-4).sqrt()), 1)).unsqueeze(2)
        return vectors.split(self.sizes, 1)


def takes_recordings(names: Iterable[str]) -> bool:
    """Whether tensors of these names are those of a base model that has this network instead of tables."""
    return any(name.startswith(PREFIX) for name in names)
