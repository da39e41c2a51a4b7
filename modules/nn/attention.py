"""Transformers over frames: the text encoder's is bidirectional, the F0 decoder's is causal.

The text encoder has relative positions up to a window (Shaw et al., 2018): each
of the nearest distances has a vector that is added to the key and one that is
added to the value. Only that band of the attention matrix is touched, so no
table of all distances is ever built.

Tensors are (B, N, C) throughout; 1-tap convolutions are the linear layers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from modules.config import ModelConfig
from modules.nn.frames import ChannelNorm, Dropout, FrameConv, convolve

WINDOW = 4  # frames to either side, as published


def _in_one_format(x: Tensor) -> torch.autocast:
    """Context without autocast, which would make float32 copies of the attention weights."""
    return torch.autocast(x.device.type, enabled=False)


class SelfAttention(nn.Module):
    """Multi-head self-attention; the subclasses define which frames are attended to.

    torch's ``scaled_dot_product_attention`` was considered and rejected: it has no place
    for relative values, and its backward pass in bfloat16 is many times slower on a CPU.

    ``channels``, C, is a multiple of ``n_heads``; ``p_dropout`` is of the attention weights.
    """

    def __init__(self, channels: int, n_heads: int, p_dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.conv_q = FrameConv(channels, channels, 1)
        self.conv_k = FrameConv(channels, channels, 1)
        self.conv_v = FrameConv(channels, channels, 1)
        self.conv_o = FrameConv(channels, channels, 1)
        for conv in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(conv.weight)
        self.drop = Dropout(p_dropout)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, scaled, keys and values (B, heads, N, d)."""
        convs = (self.conv_q, self.conv_k, self.conv_v)
        weight = torch.cat([conv.weight for conv in convs])
        bias = torch.cat([conv.bias for conv in convs])  # type: ignore[misc]
        q, k, v = convolve(x, weight, bias, 0).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        return q * q.size(3) ** -0.5, k, v

    def _weights(self, scores: Tensor, hidden: Tensor) -> Tensor:
        """Attention weights of ``scores`` (B, heads, N, N), which are overwritten."""
        # a large finite number: an item without a real frame must not become NaN
        return self.drop(scores.add_(hidden.to(scores.dtype) * -1e4).softmax(3))

    def _output(self, heads: Tensor) -> Tensor:
        """(B, N, C) from the heads (B, heads, N, d)."""
        return self.conv_o(heads.transpose(1, 2).flatten(2))


class CausalAttention(SelfAttention):
    """Self-attention to the present and the past."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, C) from ``x`` (B, N, C); ``mask`` is not needed: padding lies behind every frame."""
        q, k, v = self._project(x)
        ahead = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).triu(1)
        with _in_one_format(x):
            heads = self._weights(q @ k.mT, ahead) @ v
        return self._output(heads)


class RelativeAttention(SelfAttention):
    """Self-attention with relative positions up to ``WINDOW`` frames, shared by the heads."""

    def __init__(self, channels: int, n_heads: int, p_dropout: float) -> None:
        super().__init__(channels, n_heads, p_dropout)
        depth = channels // n_heads
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * WINDOW + 1, depth) * depth**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * WINDOW + 1, depth) * depth**-0.5)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, C) from ``x`` (B, N, C); frames outside the mask (B, N, 1) are not attended to."""
        q, k, v = self._project(x)
        frames = torch.arange(x.size(1), device=x.device)
        neighbours = frames[:, None] + torch.arange(-WINDOW, WINDOW + 1, device=x.device)
        inside = (neighbours >= 0) & (neighbours < x.size(1))
        band = neighbours.clamp(0, x.size(1) - 1).expand(len(x), self.n_heads, -1, -1)

        with _in_one_format(x):
            keys, values = self.emb_rel_k.to(q.dtype), self.emb_rel_v.to(q.dtype)
            scores = (q @ k.mT).scatter_add_(3, band, (q @ keys.mT) * inside)
            weights = self._weights(scores, mask.mT[:, None] == 0)
            near = weights.gather(3, band) * inside
            heads = weights @ v + near @ values
        return self._output(heads)


class ConvFeedForward(nn.Module):
    """Two convolutions with a ReLU and dropout between them; causal ones reach back only."""

    def __init__(
        self, channels: int, filter_channels: int, kernel_size: int, p_dropout: float, causal: bool = False
    ) -> None:
        super().__init__()
        # one convolution pads both sides, which is cheaper than padding one; what looks too far is cut off
        self.causal = causal
        padding = kernel_size - 1 if causal else kernel_size // 2
        self.conv_1 = FrameConv(channels, filter_channels, kernel_size, padding=padding)
        self.conv_2 = FrameConv(filter_channels, channels, kernel_size, padding=padding)
        self.drop = Dropout(p_dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, C) from ``x`` (B, N, C) and ``mask`` (B, N, 1); zero outside the mask."""
        frames = slice(x.size(1)) if self.causal else slice(-x.size(1), None)
        hidden = self.drop(torch.relu(self.conv_1(x * mask)[:, frames]))
        return self.conv_2(hidden * mask.to(hidden.dtype))[:, frames] * mask


class Transformer(nn.Module):
    """Self-attention and feed-forward layers, each with a residual and then a normalization.

    In the F0 decoder's, ``causal``, a frame depends on itself and the past, without relative
    positions. Its parts have other published names.
    """

    def __init__(self, config: ModelConfig, causal: bool = False) -> None:
        super().__init__()
        channels, heads, dropout = config.hidden_channels, config.n_heads, config.p_dropout
        attention = CausalAttention if causal else RelativeAttention
        norms = ("norm_layers_0", "norm_layers_1") if causal else ("norm_layers_1", "norm_layers_2")
        self._names = ("self_attn_layers" if causal else "attn_layers", norms[0], "ffn_layers", norms[1])
        parts: tuple[Callable[[], nn.Module], ...] = (
            lambda: attention(channels, heads, dropout),
            lambda: ChannelNorm(channels),
            lambda: ConvFeedForward(channels, config.filter_channels, config.kernel_size, dropout, causal),
            lambda: ChannelNorm(channels),
        )
        for name, part in zip(self._names, parts, strict=True):
            self.add_module(name, nn.ModuleList(part() for _ in range(config.n_layers)))
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, C) from ``x`` (B, N, C) and ``mask`` (B, N, 1); zero outside the mask."""
        x = x * mask
        for attention, norm, feed_forward, last_norm in zip(
            *map(self.get_submodule, self._names), strict=True
        ):
            x = norm(x + self.drop(attention(x, mask)))
            x = last_norm(x + self.drop(feed_forward(x, mask)))
        return x * mask
