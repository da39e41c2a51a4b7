"""HuBERT and its relatives: ContentVec, HuBERT-soft and the Chinese HuBERT.

One network of the transformers library computes all of them; they differ in
their files' layout, in the layer that is taken and in a projection behind it.
Sizes follow from the tensors, so a file says what it is.

Hsu et al., HuBERT (2021); Qian et al., ContentVec (2022); van Niekerk et al.,
A comparison of discrete and soft speech units (2022).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import HubertConfig, HubertModel

from modules.checkpoint import read_weights, state_of
from modules.checkpoint.identify import identify
from modules.common.errors import CheckpointError
from vencoder.base import check_width, weights_file
from vencoder.convolutions import check_reach
from vencoder.fairseq_names import library_names
from vencoder.windowed import WindowedEncoder, adopt_weights, lower_precision, shape_of

_STRIDES = (5, 2, 2, 2, 2, 2, 2)  # 320 samples; the one size that leaves no trace in the tensors
_HEAD_WIDTH = 64  # in every published model of the family


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to take units from the network.

    Attributes:
        kind: What its file is, for messages.
        seems: What modules/checkpoint/identify.py says of such a file, in part. Tensors of another kind may
            fit.
        layer: The last layer that is computed; None: all of the file's.
        projected: Whether ``final_proj`` follows.
        large: Whether it is of the large design: LayerNorm in every
            convolution, and in the layers before attention instead of after.
        padding: Zeros, in samples, put before and behind every recording.
    """

    kind: str
    seems: tuple[str, ...]
    layer: int | None = None
    projected: bool = False
    large: bool = False
    padding: int = 0


_LAYOUTS = ("HuBERT or ContentVec", "HuBERT of transformers")
VARIANTS = {
    "vec768l12": Variant(kind="ContentVec", seems=_LAYOUTS, layer=12),
    "vec256l9": Variant(kind="ContentVec", seems=_LAYOUTS, layer=9, projected=True),
    # trained on normalised waves, but published voices were made without: keep it so
    "cnhubertlarge": Variant(kind="HuBERT-large", seems=_LAYOUTS, large=True),
    # 40 = (400 - 320) / 2: unit u is in the middle of what it sees, and a clip has T / 320 of them
    "hubertsoft": Variant(kind="HuBERT-soft", seems=("soft HuBERT",), projected=True, padding=40),
}


def vec768l12(
    device: torch.device | str = "cpu", weights: Path | None = None, dtype: torch.dtype = torch.float32
) -> HubertEncoder:
    """Return ContentVec's layer 12, 768 channels."""
    return HubertEncoder("vec768l12", device, weights, dtype)


def vec256l9(
    device: torch.device | str = "cpu", weights: Path | None = None, dtype: torch.dtype = torch.float32
) -> HubertEncoder:
    """Return ContentVec's layer 9, projected to 256 channels."""
    return HubertEncoder("vec256l9", device, weights, dtype)


def hubertsoft(
    device: torch.device | str = "cpu", weights: Path | None = None, dtype: torch.dtype = torch.float32
) -> HubertEncoder:
    """Return HuBERT-soft, 256 channels."""
    return HubertEncoder("hubertsoft", device, weights, dtype)


def cnhubertlarge(
    device: torch.device | str = "cpu", weights: Path | None = None, dtype: torch.dtype = torch.float32
) -> HubertEncoder:
    """Return the Chinese HuBERT-large, 1024 channels."""
    return HubertEncoder("cnhubertlarge", device, weights, dtype)


class HubertNetwork(nn.Module):
    """The network: convolutions, transformer and, for some, a projection.

    Args:
        config: Sizes.
        n_projected: Channels of the projection; None: there is none.
    """

    def __init__(self, config: HubertConfig, n_projected: int | None = None) -> None:
        super().__init__()
        self.hubert = HubertModel(config)
        self.final_proj = None if n_projected is None else nn.Linear(config.hidden_size, n_projected)
        self.ssl_dim = n_projected or config.hidden_size

    def forward(self, audio: Tensor) -> Tensor:
        """Return units (B, U, D) of recordings of one length, (B, T) at 16 kHz; U = (T - 400) // 320 + 1."""
        return self.units(self.features(audio))

    def features(self, audio: Tensor) -> Tensor:
        """Return what the convolutions make of ``audio`` (B, T), (B, U, C).

        Their normalisation runs over time in the base design: no padding here.
        """
        return self.hubert.feature_projection(self.hubert.feature_extractor(audio).transpose(1, 2))

    def units(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return units (B, U, D) of ``features`` (B, U, C).

        ``mask`` (B, U) is False where there is only padding, which then has no influence.
        """
        hidden = self.hubert.encoder(features, attention_mask=mask).last_hidden_state
        return hidden if self.final_proj is None else self.final_proj(hidden)


class HubertEncoder(WindowedEncoder):
    """Units of a HuBERT.

    Up to 40 s are heard as a whole, as the published code does. What is longer
    is heard in windows, so that it takes no more memory: with random weights,
    units then differ by 2 % (RMS) on a voice and 7 % on noise that swells.

    Args:
        name: One of :data:`VARIANTS`.
        device: Where the units are computed and returned.
        weights: The model's file; None: the published one's place.
        dtype: bfloat16 or float16 halves the time and the memory of the matrix
            products where the device is made for it; a processor that is not is
            slower with them. bfloat16 changes units by 1 % (RMS). They stay float32.
        n_heads: Of attention, where the file does not say; None: one for 64 channels.

    Raises:
        MissingWeightsError: The file has not been downloaded.
        CheckpointError: It cannot be read, or is no such model.
    """

    def __init__(
        self,
        name: str,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
        n_heads: int | None = None,
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self.dtype = dtype
        self.padding = VARIANTS[name].padding
        self.receptive_field = 400 - 2 * self.padding
        path = weights_file(name, weights)
        content = read_weights(path, keep=("model", "hubert", "cfg", "args"))
        state = state_of(content, path, "model", "hubert")
        self.network = load_network(name, state, path, n_heads or _n_heads(content))
        self.ssl_dim = self.network.ssl_dim
        if weights is None:
            check_width(name, self.ssl_dim, path)
        if dtype != torch.float32:
            lower_precision(self.network, dtype)
        self.network.to(self.device)


def load_network(
    name: str, state: Mapping[str, Tensor], path: str | Path, n_heads: int | None = None
) -> HubertNetwork:
    """Return the network of the encoder ``name`` with the tensors of a published file, ready for use.

    Layers that the encoder does not take are never built. On the meta device if
    the tensors are.

    Args:
        name: One of :data:`VARIANTS`.
        state: The file's tensors, float32, under its own names.
        path: The file, for messages.
        n_heads: Of attention; None: one for 64 channels.

    Raises:
        CheckpointError: Tensors are missing, unknown, or of the wrong shape, or
            the file is of another kind.
    """
    variant = VARIANTS[name]
    found = identify(state)
    if found and not any(part in found for part in variant.seems):
        raise CheckpointError(f"{path} is no {variant.kind} checkpoint; it seems to be {found}")
    state = library_names(state)
    config = _config(variant, state, path, n_heads)
    with torch.device("meta"):  # no random initialisation, and nothing allocated for a file that does not fit
        projected = len(state["final_proj.weight"]) if variant.projected else None
        network = HubertNetwork(config, projected)
    own = {
        ("" if key.startswith("final_proj.") else "hubert.") + key: tensor
        for key, tensor in state.items()
        if not _is_unused(key, variant, config.num_hidden_layers)
    }
    adopt_weights(network, own, path)
    # the kernel follows from its two parts once and for all
    parametrize.remove_parametrizations(network.hubert.encoder.pos_conv_embed.conv, "weight")
    return network.requires_grad_(False)


def _is_unused(name: str, variant: Variant, n_layers: int) -> bool:
    """Tell whether the tensor is known, and for training or for layers that are not taken."""
    if name.startswith("final_proj."):
        return not variant.projected
    if re.match(r"masked_spec_embed$|label_emb(s_concat|edding\.weight)$", name):
        return True
    if variant.kind != "ContentVec":
        return False
    # ContentVec's training knows the speaker from layer 12 on; some files still have that
    layer = re.match(r"encoder\.layers\.(\d{1,3})\.", name)
    return bool(re.match(r"layer_proj\.|encoder\.cond_layer_norm\.", name)) or (
        layer is not None and int(layer.group(1)) >= n_layers
    )


def _config(
    variant: Variant, state: Mapping[str, Tensor], path: str | Path, n_heads: int | None
) -> HubertConfig:
    """Return the sizes that the tensors have."""

    def shape(name: str, n_axes: int) -> tuple[int, ...]:
        return shape_of(state, name, n_axes, path, variant.kind)

    convs = [shape(f"feature_extractor.conv_layers.{index}.conv.weight", 3) for index in range(len(_STRIDES))]
    check_reach(
        [(n_out, n_taps, stride) for (n_out, _, n_taps), stride in zip(convs, _STRIDES, strict=True)], path
    )
    width = shape("feature_projection.projection.weight", 2)[0]
    if variant.projected:
        shape("final_proj.weight", 2)
    *_, per_group, n_taps = shape("encoder.pos_conv_embed.conv.parametrizations.weight.original1", 3)
    n_layers = 0
    while f"encoder.layers.{n_layers}.attention.q_proj.weight" in state:
        n_layers += 1
    n_heads = n_heads or max(1, width // _HEAD_WIDTH)
    large = "feature_extractor.conv_layers.1.layer_norm.weight" in state
    if large != variant.large:
        raise CheckpointError(
            f"{path} is no {variant.kind} checkpoint: its layers are HuBERT-{'large' if large else 'base'}'s"
        )
    if width % n_heads or width % per_group:
        raise CheckpointError(
            f"{path} cannot be used: {width} channels make no {n_heads} heads, or no groups of {per_group}"
        )
    config = HubertConfig(
        hidden_size=width,
        num_hidden_layers=variant.layer or n_layers,
        num_attention_heads=n_heads,
        intermediate_size=shape("encoder.layers.0.feed_forward.intermediate_dense.weight", 2)[0],
        conv_dim=[n_out for n_out, *_ in convs],
        conv_kernel=[n_taps for *_, n_taps in convs],
        conv_stride=list(_STRIDES),
        conv_bias="feature_extractor.conv_layers.0.conv.bias" in state,
        feat_extract_norm="layer" if large else "group",
        do_stable_layer_norm=large,
        num_conv_pos_embeddings=n_taps,
        num_conv_pos_embedding_groups=width // per_group,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )
    config._attn_implementation = "sdpa"  # bit for bit what fairseq computes, in memory linear in the length
    return config


def _n_heads(content: Mapping[str, Any]) -> int | None:
    """Return the number of heads that a fairseq file states, in its new or old form of settings, or None."""
    settings = content.get("cfg")
    model = settings.get("model") if isinstance(settings, Mapping) else content.get("args")
    n_heads = model.get("encoder_attention_heads") if isinstance(model, Mapping) else None
    return n_heads if isinstance(n_heads, int) and n_heads > 0 else None
