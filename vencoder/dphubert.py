"""DPHuBERT: HuBERT-base, distilled and pruned to a quarter of its size.

The network is the transformers library's HuBERT, whose parts are replaced by
smaller ones: every convolution, attention and feed-forward has its own size,
and some are missing. Files have torchaudio's names, which are the library's
except for prefixes. The published code never leaves training mode, in which
layers are dropped at random, so its units change from call to call; these do not.

Peng et al., DPHuBERT: joint distillation and pruning of self-supervised speech
models (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from transformers import HubertConfig
from transformers.models.hubert.modeling_hubert import HubertAttention, HubertFeedForward

from modules.checkpoint import find_state_dict, read_weights
from modules.common.errors import CheckpointError
from vencoder.convolutions import LARGEST, MOST, Convolution, check_reach
from vencoder.fairseq_names import rename, torch_name
from vencoder.hubert import HubertNetwork
from vencoder.network import assign_weights, check_model_kind
from vencoder.windowed import WindowedEncoder

_KIND = "DPHuBERT"
_NAMES = (
    (r"feature_extractor\.dummy_weight$", "dummy_weight"),
    (r"feature_extractor\.", "hubert.feature_extractor."),
    (r"encoder\.feature_projection\.", "hubert.feature_projection."),
    (r"encoder\.transformer\.", "hubert.encoder."),
)


class DPHubertEncoder(WindowedEncoder):
    """Units of DPHuBERT: its last layer, 768 channels."""

    def _load(self, path: Path) -> DPHubertNetwork:
        # other entries are projections that only its training uses
        content = read_weights(path, keep=("state_dict", "config"))
        state = find_state_dict(content, path, "state_dict")
        check_model_kind(state, _KIND, path)
        config = content.get("config")
        if not isinstance(config, dict):
            raise CheckpointError(
                f"{path} is not a {_KIND} checkpoint: it does not state its sizes, 'config'"
            )
        self.normalize = config.get("normalize_waveform", False) is True
        return load_network(state, config, path)


@dataclass(frozen=True, kw_only=True)
class PrunedSizes:
    """Sizes of every part."""

    hubert: HubertConfig  # of what is as in HuBERT
    head_width: int  # channels of a head of attention, the same in all layers
    n_heads: list[int]  # of the attention of each layer; 0: it has none
    n_inner: list[int]  # channels inside the feed-forward of each layer; 0: it has none


class DPHubertNetwork(HubertNetwork):
    """A HuBERT with pruned layers, and a factor for each channel of the last convolution."""

    def __init__(self, sizes: PrunedSizes) -> None:
        super().__init__(sizes.hubert)
        self.dummy_weight = nn.Parameter(torch.ones(sizes.hubert.conv_dim[-1]))
        width = sizes.hubert.hidden_size
        for layer, n_heads, n_inner in zip(
            self.hubert.encoder.layers, sizes.n_heads, sizes.n_inner, strict=True
        ):
            layer.attention = _Absent(is_attention=True)
            if n_heads:
                layer.attention = PrunedAttention(sizes.hubert, n_heads, sizes.head_width)
            layer.feed_forward = _Absent()
            if n_inner:
                config = HubertConfig(hidden_size=width, intermediate_size=n_inner)
                layer.feed_forward = HubertFeedForward(config)

    def features(self, audio: Tensor) -> Tensor:
        """Output of the convolutions (B, U, C) for ``audio`` (B, T), normalized over time: no padding."""
        hidden = self.hubert.feature_extractor(audio).transpose(1, 2)
        return self.hubert.feature_projection(hidden * self.dummy_weight)


class PrunedAttention(HubertAttention):
    """The library's attention with heads of a given width, whose sum may differ from the transformer's."""

    def __init__(self, config: HubertConfig, n_heads: int, head_width: int) -> None:
        super().__init__(n_heads * head_width, n_heads, config=config)
        for projection in ("q_proj", "k_proj", "v_proj"):
            setattr(self, projection, nn.Linear(config.hidden_size, self.embed_dim))
        self.out_proj = nn.Linear(self.embed_dim, config.hidden_size)


class _Absent(nn.Module):
    """Adds nothing, in place of an attention or a feed-forward that was pruned as a whole."""

    def __init__(self, is_attention: bool = False) -> None:
        super().__init__()
        self._is_attention = is_attention

    def forward(self, hidden: Tensor, **_: Any) -> Any:
        zeros = torch.zeros_like(hidden)
        return (zeros, None) if self._is_attention else zeros


def load_network(state: Mapping[str, Tensor], config: Mapping[str, Any], path: str | Path) -> DPHubertNetwork:
    """Build the network of a published file, with the sizes that it states, ready for use.

    Raises:
        CheckpointError: See :func:`sizes_of` and :func:`vencoder.network.assign_weights`.
    """
    with torch.device("meta"):
        network = DPHubertNetwork(sizes_of(config, path))
    own = {torch_name(rename(name, _NAMES)): tensor for name, tensor in state.items()}
    assign_weights(network, own, path)
    return network


def sizes_of(config: Mapping[str, Any], path: str | Path) -> PrunedSizes:
    """Sizes that a published file states, checked.

    Raises:
        CheckpointError: Some are missing or make no sense, or are those of another design.
    """
    if "encoder_remaining_heads" in config:
        raise CheckpointError(
            f"{path} cannot be used: it is a DPWavLM, made from WavLM; the encoder needs a DPHuBERT, "
            "such as DPHuBERT-sp0.75.pth"
        )
    if config.get("extractor_mode") != "group_norm" or config.get("encoder_layer_norm_first") is not False:
        raise CheckpointError(
            f"{path} cannot be used: it is not made from HuBERT-base "
            "(extractor_mode is not 'group_norm', or encoder_layer_norm_first is not False)"
        )
    convolutions = _convolutions(config, path)
    width = _number(config, "encoder_embed_dim", path)
    pos_groups = _number(config, "encoder_pos_conv_groups", path)
    if width % pos_groups:
        raise CheckpointError(
            f"{path} cannot be used: {width} channels cannot be split into {pos_groups} groups"
        )
    n_layers = _number(config, "encoder_num_layers", path)
    hubert = HubertConfig(
        hidden_size=width,
        num_hidden_layers=n_layers,
        num_attention_heads=1,  # each layer's are replaced
        intermediate_size=1,
        conv_dim=[channels for channels, *_ in convolutions],
        conv_kernel=[n_taps for _, n_taps, _ in convolutions],
        conv_stride=[stride for *_, stride in convolutions],
        conv_bias=config.get("extractor_conv_bias", False) is True,
        num_conv_pos_embeddings=_number(config, "encoder_pos_conv_kernel", path),
        num_conv_pos_embedding_groups=pos_groups,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )
    hubert._attn_implementation = "sdpa"  # memory linear in the length
    return PrunedSizes(
        hubert=hubert,
        head_width=_number(config, "encoder_head_dim", path),
        n_heads=_per_layer(config, "encoder_use_attention", "encoder_num_heads", n_layers, path),
        n_inner=_per_layer(config, "encoder_use_feed_forward", "encoder_ff_interm_features", n_layers, path),
    )


def _per_layer(config: Mapping[str, Any], flag: str, size: str, n_layers: int, path: str | Path) -> list[int]:
    """The size of a part in each layer, 0 where it is absent; a part that is present must have a size."""
    used, sizes = config.get(flag), config.get(size)
    if (
        not isinstance(used, list | tuple)
        or not isinstance(sizes, list | tuple)
        or not len(used) == len(sizes) == n_layers <= MOST
    ):
        raise _invalid_config(path, f"{flag} and {size} do not have one value for each of the layers")
    if not all(_is_size(value) for value, is_used in zip(sizes, used, strict=True) if is_used):
        raise _invalid_config(path, f"{size} holds values that are not sizes")
    return [value if is_used else 0 for value, is_used in zip(sizes, used, strict=True)]


def _convolutions(config: Mapping[str, Any], path: str | Path) -> list[Convolution]:
    name = "extractor_conv_layer_config"
    layers = config.get(name)
    if not isinstance(layers, list | tuple) or not 1 <= len(layers) <= MOST:
        raise _invalid_config(path, f"{name} is not a list of 1 to {MOST}")
    for layer in layers:
        if not isinstance(layer, list | tuple) or len(layer) != 3 or not all(map(_is_size, layer)):
            raise _invalid_config(path, f"{name} holds values that are not (channels, taps, stride)")
    convolutions = [(channels, n_taps, stride) for channels, n_taps, stride in layers]
    check_reach(convolutions, path)
    return convolutions


def _number(config: Mapping[str, Any], name: str, path: str | Path) -> int:
    value = config.get(name)
    if not _is_size(value):
        raise _invalid_config(path, f"{name} is {'missing' if value is None else 'not a size'}")
    return value


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and 1 <= value <= LARGEST


def _invalid_config(path: str | Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be used: in its config, {reason}")
