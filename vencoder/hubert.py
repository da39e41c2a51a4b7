"""HuBERT and its relatives: ContentVec, HuBERT-soft and the Chinese HuBERT.

The HubertModel of the transformers library computes all of them; they differ in
the layout of their files, in the layer that is used and in a projection after
it. Sizes follow from the tensors. The library's own loading is not used: it
reads one of the three layouts, and unpickles files.

Hsu et al., HuBERT (2021); Qian et al., ContentVec (2022); van Niekerk et al.,
A comparison of discrete and soft speech units (2022).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel

from modules.checkpoint import find_state_dict, read_weights
from modules.checkpoint.identify import identify
from modules.common.errors import CheckpointError
from vencoder.convolutions import check_reach
from vencoder.fairseq_names import library_names
from vencoder.network import assign_weights, count_layers, shape_of
from vencoder.windowed import WindowedEncoder

_STRIDES = (5, 2, 2, 2, 2, 2, 2)  # 320 samples; the one size that the tensors do not show
_HEAD_WIDTH = 64  # in every published model of the family
WEIGHT_V = "parametrizations.weight.original1"


@dataclass(frozen=True, kw_only=True)
class HubertVariant:
    """How units are taken from the network; the keyword arguments in the table ENCODERS."""

    # The large design has LayerNorm in every convolution, and before attention instead of after
    kind: str  # "ContentVec", "HuBERT-soft" or "HuBERT-large"
    layer: int | None = None  # the last that is computed; None: all of the file's
    projected: bool = False  # whether final_proj follows
    padding: int = 0  # zeros, in samples, added before and after every recording
    n_heads: int | None = None  # of attention, where the file does not say; None: one for 64 channels


class HubertNetwork(nn.Module):
    """Convolutions, transformer and, unless ``n_projected`` is None, a projection to as many channels."""

    def __init__(self, config: HubertConfig, n_projected: int | None = None) -> None:
        super().__init__()
        self.hubert = HubertModel(config)
        self.final_proj = None if n_projected is None else nn.Linear(config.hidden_size, n_projected)
        self.ssl_dim: int = n_projected or config.hidden_size

    def features(self, audio: Tensor) -> Tensor:
        """Output of the convolutions (B, U, C) for ``audio`` (B, T) at 16 kHz; U = (T - 400) // 320 + 1.

        Their normalization runs over time in the base design: no padding here.
        """
        return self.hubert.feature_projection(self.hubert.feature_extractor(audio).transpose(1, 2))

    def units(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Units (B, U, D) of ``features`` (B, U, C).

        ``mask`` (B, U) is False for padding, which then has no influence.
        """
        hidden = self.hubert.encoder(features, attention_mask=mask).last_hidden_state
        return hidden if self.final_proj is None else self.final_proj(hidden)


class HubertEncoder(WindowedEncoder):
    """Units of a HuBERT, of a :class:`HubertVariant`. bfloat16 changes them by 1 % (RMS)."""

    def __init__(
        self,
        name: str,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype | None = None,
        **variant: Any,
    ) -> None:
        self.variant = HubertVariant(**variant)
        self.padding = self.variant.padding
        self.receptive_field = 400 - 2 * self.padding
        super().__init__(name, device, weights, dtype)

    def _load(self, path: Path) -> HubertNetwork:
        content = read_weights(path, keep=("model", "hubert", "cfg", "args"))
        state = find_state_dict(content, path, "model", "hubert")
        return load_network(self.variant, state, path, self.variant.n_heads or _stated_heads(content))


def load_network(
    variant: HubertVariant, state: Mapping[str, Tensor], path: str | Path, n_heads: int | None = None
) -> HubertNetwork:
    """Build the network of a published file, ready for use, without the layers after the one that is used.

    ``state`` has the file's own names; without ``n_heads`` there is one for 64 channels.

    Raises:
        CheckpointError: The file is of another kind; see also :func:`vencoder.network.assign_weights`.
    """
    soft = variant.kind == "HuBERT-soft"
    expected = ["soft HuBERT"] if soft else ["HuBERT or ContentVec", "HuBERT of transformers"]
    found = identify(state)  # tensors of other kinds may fit
    if found and not any(part in found for part in expected):
        raise CheckpointError(f"{path} is not a {variant.kind} checkpoint; it seems to be {found}")
    state = library_names(state)
    config = _config(variant, state, path, n_heads)
    with torch.device("meta"):
        projected = len(state["final_proj.weight"]) if variant.projected else None
        network = HubertNetwork(config, projected)
    own = {
        ("" if key.startswith("final_proj.") else "hubert.") + key: tensor
        for key, tensor in state.items()
        if not _is_unused(key, variant, config.num_hidden_layers)
    }
    assign_weights(network, own, path)
    return network


def _is_unused(name: str, variant: HubertVariant, n_layers: int) -> bool:
    """Whether the tensor is known and not needed: for training, or in layers that are not used."""
    if name.startswith("final_proj."):
        return not variant.projected
    if re.match(r"masked_spec_embed$|label_emb(s_concat|edding\.weight)$", name):
        return True
    if variant.kind != "ContentVec":
        return False
    # ContentVec's training gives the speaker to layer 12 and above; some files still have those layers
    layer = re.match(r"encoder\.layers\.(\d{1,3})\.", name)
    return bool(re.match(r"layer_proj\.|encoder\.cond_layer_norm\.", name)) or (
        layer is not None and int(layer.group(1)) >= n_layers
    )


def _config(
    variant: HubertVariant, state: Mapping[str, Tensor], path: str | Path, n_heads: int | None
) -> HubertConfig:
    """Sizes from the tensors."""
    large = "feature_extractor.conv_layers.1.layer_norm.weight" in state
    sizes = transformer_sizes(state, variant.kind, path, _STRIDES, n_heads)
    if variant.projected:
        shape_of(state, variant.kind, path, "final_proj.weight", 2)
    if large != (variant.kind == "HuBERT-large"):
        design = "large" if large else "base"
        raise CheckpointError(f"{path} is not a {variant.kind} checkpoint: its layers are HuBERT-{design}'s")
    if variant.layer:
        sizes["num_hidden_layers"] = variant.layer
    norm = "layer" if large else "group"
    config = HubertConfig(**sizes, feat_extract_norm=norm, do_stable_layer_norm=large)
    config._attn_implementation = "sdpa"  # bit for bit what fairseq computes, in memory linear in the length
    return config


def transformer_sizes(
    state: Mapping[str, Tensor], kind: str, path: str | Path, strides: Sequence[int], n_heads: int | None
) -> dict[str, Any]:
    """Sizes from the tensors, under the library's names, as arguments of its HubertConfig and WavLMConfig.

    Raises:
        CheckpointError: They are missing or do not fit each other.
    """
    shape = partial(shape_of, state, kind, path)
    convs = [shape(f"feature_extractor.conv_layers.{index}.conv.weight", 3) for index in range(len(strides))]
    check_reach(
        [(n_out, n_taps, stride) for (n_out, _, n_taps), stride in zip(convs, strides, strict=True)], path
    )
    width = shape("feature_projection.projection.weight", 2)[0]
    *_, per_group, n_taps = shape(f"encoder.pos_conv_embed.conv.{WEIGHT_V}", 3)
    n_heads = n_heads or max(1, width // _HEAD_WIDTH)
    if width % n_heads or width % per_group:
        raise CheckpointError(
            f"{path} cannot be used: {width} channels cannot be split into {n_heads} heads, "
            f"or into groups of {per_group}"
        )
    return {
        "hidden_size": width,
        "num_hidden_layers": count_layers(state, "encoder.layers.{}.attention.q_proj.weight"),
        "num_attention_heads": n_heads,
        "intermediate_size": shape("encoder.layers.0.feed_forward.intermediate_dense.weight", 2)[0],
        "conv_dim": [n_out for n_out, *_ in convs],
        "conv_kernel": [n_taps for *_, n_taps in convs],
        "conv_stride": list(strides),
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in state,
        "num_conv_pos_embeddings": n_taps,
        "num_conv_pos_embedding_groups": width // per_group,
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
    }


def _stated_heads(content: Mapping[str, Any]) -> int | None:
    """Number of heads that a fairseq file states, in its new or old form of settings, or None."""
    settings = content.get("cfg")
    model = settings.get("model") if isinstance(settings, Mapping) else content.get("args")
    n_heads = model.get("encoder_attention_heads") if isinstance(model, Mapping) else None
    return n_heads if isinstance(n_heads, int) and n_heads > 0 else None
