"""DPHuBERT's network: a HuBERT-base of which training has cut away what it could spare.

Every convolution, every attention and every feed-forward has its own size, and
some are gone, which no library's HuBERT can be. Modules are called as in the
published files, which have torchaudio's names.

Peng et al., DPHuBERT: joint distillation and pruning of self-supervised speech
models (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What pruning left of a transformer layer.

    Attributes:
        n_heads: Of attention; 0: it has none.
        n_inner: Channels inside its feed-forward; 0: it has none.
    """

    n_heads: int
    n_inner: int


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The size of every part.

    Attributes:
        convolutions: Channels, taps and stride of each.
        conv_bias: Whether the convolutions have biases.
        width: C, channels of the transformer.
        head_width: Channels of a head of attention, the same in all layers.
        pos_taps: Of the positional convolution.
        pos_groups: Of the positional convolution.
        layers: Of the transformer.
    """

    convolutions: Sequence[tuple[int, int, int]]
    conv_bias: bool = False
    width: int
    head_width: int
    pos_taps: int
    pos_groups: int
    layers: Sequence[Layer]


class DPHubert(nn.Module):
    """The network."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.feature_extractor = FeatureExtractor(sizes)
        self.encoder = Encoder(sizes)

    def features(self, audio: Tensor) -> Tensor:
        """Return what the convolutions make of ``audio`` (B, T) at 16 kHz, (B, U, C).

        Their normalisation runs over time: no padding here.
        """
        return self.encoder.feature_projection(self.feature_extractor(audio))

    def units(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return units (B, U, C) of ``features`` (B, U, C).

        ``mask`` (B, U) is False where there is only padding, which then has no influence.
        """
        return self.encoder.transformer(features, mask)


class FeatureExtractor(nn.Module):
    """Convolutions, and a factor for each channel of the last one that pruning left behind."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        channels = [1, *(n_out for n_out, *_ in sizes.convolutions)]
        self.conv_layers = nn.ModuleList(
            Convolution(n_in, *layer, bias=sizes.conv_bias, normalised=not index)
            for index, (n_in, layer) in enumerate(zip(channels, sizes.convolutions, strict=False))
        )
        self.dummy_weight = nn.Parameter(torch.ones(channels[-1]))

    def forward(self, audio: Tensor) -> Tensor:
        """Return (B, U, channels) of ``audio`` (B, T)."""
        hidden = audio[:, None]
        for layer in self.conv_layers:
            hidden = layer(hidden)
        return hidden.transpose(1, 2) * self.dummy_weight


class Convolution(nn.Module):
    """A convolution and, in the first layer, normalisation of each channel over time."""

    def __init__(self, n_in: int, n_out: int, n_taps: int, stride: int, bias: bool, normalised: bool) -> None:
        super().__init__()
        self.layer_norm = nn.GroupNorm(n_out, n_out) if normalised else None
        self.conv = nn.Conv1d(n_in, n_out, n_taps, stride, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, n_out, T') of ``hidden`` (B, n_in, T)."""
        hidden = self.conv(hidden)
        return F.gelu(hidden if self.layer_norm is None else self.layer_norm(hidden))


class Encoder(nn.Module):
    """The projection to the transformer's width, and the transformer."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.feature_projection = FeatureProjection(sizes.convolutions[-1][0], sizes.width)
        self.transformer = Transformer(sizes)


class FeatureProjection(nn.Module):
    """Normalisation over channels, and a linear map."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(n_in)
        self.projection = nn.Linear(n_in, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, U, C) of ``hidden`` (B, U, n_in)."""
        return self.projection(self.layer_norm(hidden))


class PositionalConvolution(nn.Module):
    """What says where a unit is: its surroundings, over 128 units."""

    def __init__(self, width: int, n_taps: int, n_groups: int) -> None:
        super().__init__()
        self.conv = weight_norm(nn.Conv1d(width, width, n_taps, padding=n_taps // 2, groups=n_groups), dim=2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, U, C) of ``hidden`` (B, U, C); an even number of taps makes one too many."""
        return F.gelu(self.conv(hidden.transpose(1, 2))[..., : hidden.shape[1]]).transpose(1, 2)


class Transformer(nn.Module):
    """The layers, all of which normalise behind what they add."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConvolution(sizes.width, sizes.pos_taps, sizes.pos_groups)
        self.layer_norm = nn.LayerNorm(sizes.width)
        self.layers = nn.ModuleList(TransformerLayer(sizes, layer) for layer in sizes.layers)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B, U, C) of ``hidden`` (B, U, C); ``mask`` (B, U) is False where there is only padding."""
        if mask is not None:
            hidden = hidden * mask[..., None]  # as if outside the clip
        hidden = self.layer_norm(hidden + self.pos_conv_embed(hidden))
        keys = None if mask is None else mask[:, None, None]
        for layer in self.layers:
            hidden = layer(hidden, keys)
        return hidden


class TransformerLayer(nn.Module):
    """Attention and a feed-forward, as far as they are left; both normalisations always are."""

    def __init__(self, sizes: Sizes, layer: Layer) -> None:
        super().__init__()
        width = sizes.width
        self.attention = Attention(width, layer.n_heads, sizes.head_width) if layer.n_heads else None
        self.layer_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, layer.n_inner) if layer.n_inner else None
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor, keys: Tensor | None) -> Tensor:
        """Return (B, U, C) of ``hidden`` (B, U, C); ``keys`` (B, 1, 1, U) is False for padding."""
        if self.attention is not None:
            hidden = hidden + self.attention(hidden, keys)
        hidden = self.layer_norm(hidden)
        if self.feed_forward is not None:
            hidden = hidden + self.feed_forward(hidden)
        return self.final_layer_norm(hidden)


class Attention(nn.Module):
    """Attention with heads of a given width, whose number need not fill that of the transformer."""

    def __init__(self, width: int, n_heads: int, head_width: int) -> None:
        super().__init__()
        self._heads = (n_heads, head_width)
        n_inner = n_heads * head_width
        self.k_proj = nn.Linear(width, n_inner)
        self.v_proj = nn.Linear(width, n_inner)
        self.q_proj = nn.Linear(width, n_inner)
        self.out_proj = nn.Linear(n_inner, width)

    def forward(self, hidden: Tensor, keys: Tensor | None) -> Tensor:
        """Return (B, U, C); see :class:`TransformerLayer`."""
        query, key, value = (
            projection(hidden).unflatten(-1, self._heads).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        return self.out_proj(gathered.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear maps with GELU between them."""

    def __init__(self, width: int, n_inner: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(width, n_inner)
        self.output_dense = nn.Linear(n_inner, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, U, C) of ``hidden`` (B, U, C)."""
        return self.output_dense(F.gelu(self.intermediate_dense(hidden)))
