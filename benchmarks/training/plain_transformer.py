"""Transformers of the plain Glow model: all relative distances in one table.

The scores of all distances (Shaw et al., 2018) are brought from distance to position, and the
weights back, by padding and reshaping (Huang et al., "Music Transformer", 2019). Tensors are (B, C, N).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.config import ModelConfig
from modules.nn.attention import WINDOW


class PlainConv(nn.Conv1d):
    """Convolution that keeps the number of frames; ``causal`` reaches back only."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, causal: bool = False) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        reach = kernel_size - 1
        self.sides = (reach, 0) if causal else (reach // 2, reach - reach // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C', N) from ``x`` (B, C, N)."""
        return super().forward(F.pad(x, self.sides) if any(self.sides) else x)


class PlainNorm(nn.Module):
    """Layer normalization over the channels, which are moved to the end and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x`` (B, C, N)."""
        return F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta).transpose(1, 2)


class PlainAttention(nn.Module):
    """Self-attention with a boolean mask, and, unless ``causal``, relative positions."""

    def __init__(self, config: ModelConfig, causal: bool) -> None:
        super().__init__()
        channels = config.hidden_channels
        self.n_heads, self.causal = config.n_heads, causal
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (
            PlainConv(channels, channels, 1) for _ in range(4)
        )
        self.drop = nn.Dropout(config.p_dropout)
        if not causal:
            table = torch.zeros(1, 2 * WINDOW + 1, channels // config.n_heads)
            self.emb_rel_k, self.emb_rel_v = nn.Parameter(table), nn.Parameter(table.clone())

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, N) from ``x`` (B, C, N); ``mask`` (B, 1, N, N) is 0 where nothing is attended to."""
        q, k, v = (
            conv(x).unflatten(1, (self.n_heads, -1)).transpose(2, 3)
            for conv in (self.conv_q, self.conv_k, self.conv_v)
        )
        q = q / math.sqrt(q.size(3))
        scores = torch.matmul(q, k.transpose(2, 3))
        if not self.causal:
            keys = _all_distances(self.emb_rel_k, x.size(2))
            scores = scores + _by_position(torch.matmul(q, keys.unsqueeze(0).transpose(2, 3)))
        weights = self.drop(scores.masked_fill(mask == 0, -1e4).softmax(3))
        out = torch.matmul(weights, v)
        if not self.causal:
            values = _all_distances(self.emb_rel_v, x.size(2))
            out = out + torch.matmul(_by_distance(weights), values.unsqueeze(0))
        return self.conv_o(out.transpose(2, 3).flatten(1, 2))


def _all_distances(table: Tensor, frames: int) -> Tensor:
    """Vectors (1, 2N - 1, d) of all distances, zero beyond the window; ``table`` (1, 2 * WINDOW + 1, d)."""
    beyond = max(frames - 1 - WINDOW, 0)
    first = max(WINDOW + 1 - frames, 0)
    return F.pad(table, (0, 0, beyond, beyond))[:, first : first + 2 * frames - 1]


def _by_position(x: Tensor) -> Tensor:
    """Scores (B, heads, N, N) by position, from scores (B, heads, N, 2N - 1) by distance."""
    n = x.size(2)
    flat = F.pad(F.pad(x, (0, 1)).flatten(2), (0, n - 1))
    return flat.unflatten(2, (n + 1, 2 * n - 1))[:, :, :n, n - 1 :]


def _by_distance(x: Tensor) -> Tensor:
    """Undo :func:`_by_position`; distances that do not occur are 0."""
    n = x.size(2)
    flat = F.pad(F.pad(x, (0, n - 1)).flatten(2), (n, 0))
    return flat.unflatten(2, (n, 2 * n))[..., 1:]


class PlainFeedForward(nn.Module):
    """Two convolutions with a ReLU and dropout between them."""

    def __init__(self, config: ModelConfig, causal: bool) -> None:
        super().__init__()
        sizes = (config.hidden_channels, config.filter_channels)
        self.conv_1 = PlainConv(*sizes, config.kernel_size, causal)
        self.conv_2 = PlainConv(*sizes[::-1], config.kernel_size, causal)
        self.drop = nn.Dropout(config.p_dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, N) from ``x`` (B, C, N) and ``mask`` (B, 1, N)."""
        x = self.drop(torch.relu(self.conv_1(x * mask)))
        return self.conv_2(x * mask) * mask


class PlainTransformer(nn.Module):
    """Attention and feed-forward layers; ``causal`` is the F0 decoder's, with other names of its parts."""

    def __init__(self, config: ModelConfig, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.drop = nn.Dropout(config.p_dropout)
        parts: dict[str, Callable[[], nn.Module]] = {
            "self_attn_layers" if causal else "attn_layers": lambda: PlainAttention(config, causal),
            "norm_layers_0" if causal else "norm_layers_1": lambda: PlainNorm(config.hidden_channels),
            "ffn_layers": lambda: PlainFeedForward(config, causal),
            "norm_layers_1" if causal else "norm_layers_2": lambda: PlainNorm(config.hidden_channels),
        }
        for name, part in parts.items():
            self.add_module(name, nn.ModuleList(part() for _ in range(config.n_layers)))
        self._names = tuple(parts)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, N) from ``x`` (B, C, N) and ``mask`` (B, 1, N)."""
        if self.causal:
            seen = torch.ones(1, 1, x.size(2), x.size(2), device=x.device).tril()
        else:
            seen = mask.unsqueeze(2) * mask.unsqueeze(3)
        x = x * mask
        for attention, norm, feed_forward, last_norm in zip(
            *map(self.get_submodule, self._names), strict=True
        ):
            x = norm(x + self.drop(attention(x, seen)))
            x = last_norm(x + self.drop(feed_forward(x, mask)))
        return x * mask
