"""WavLM-Base+: a HuBERT with a gated relative position bias in its attention.

The WavLMModel of the transformers library computes it; only its attention is
computed here in another order. The bias depends on the distance of two units
alone, so it is looked up in a table of distances, computed once. The library
computes a matrix of all pairs per head again for every recording, which grows
with the square of its length.

Chen et al., WavLM: large-scale self-supervised pre-training for full stack
speech processing (2022).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import WavLMConfig, WavLMModel
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from modules.checkpoint import find_state_dict, read_weights
from modules.common.errors import CheckpointError
from vencoder.convolutions import from_expression
from vencoder.fairseq_names import library_names
from vencoder.hubert import transformer_sizes
from vencoder.network import assign_weights, check_model_kind, shape_of
from vencoder.windowed import LONGEST, WindowedEncoder

_KIND = "WavLM"
_CONVOLUTIONS = "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2"  # of WavLM-Base+: channels, taps, stride
_MAX_DISTANCE = 800  # units; all that is further apart shares the last two rows of the table
_ROWS = 256  # queries whose scores are biased at once: 25 MB for 40 s
_OWN_NAMES = (
    (r"attention\.grep_linear\.", "attention.gru_rel_pos_linear."),
    (r"attention\.grep_a$", "attention.gru_rel_pos_const"),
    (r"attention\.relative_attention_bias\.", "attention.rel_attn_embed."),
)


class WavLMEncoder(WindowedEncoder):
    """Units of WavLM-Base+: its last layer, 768 channels."""

    def _load(self, path: Path) -> WavLMNetwork:
        content = read_weights(path, keep=("model", "cfg"))
        config = content.get("cfg")
        config = config if isinstance(config, dict) else {}
        self.normalize = config.get("normalize", False) is True
        return load_network(find_state_dict(content, path, "model"), config, path)


class WavLMNetwork(nn.Module):
    """Convolutions, and a transformer with gated relative position bias."""

    def __init__(self, config: WavLMConfig) -> None:
        super().__init__()
        self.wavlm = WavLMModel(config)
        for index, layer in enumerate(self.wavlm.encoder.layers):
            layer.attention = GatedAttention(
                config.hidden_size,
                config.num_attention_heads,
                num_buckets=config.num_buckets,
                max_distance=config.max_bucket_distance,
                has_relative_position_bias=index == 0,  # the one table serves all layers
            )
        self.ssl_dim: int = config.hidden_size

    def features(self, audio: Tensor) -> Tensor:
        """Output of the convolutions (B, U, C) for ``audio`` (B, T), normalized over time: no padding."""
        hidden, _ = self.wavlm.feature_projection(self.wavlm.feature_extractor(audio).transpose(1, 2))
        return hidden

    def units(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Units (B, U, D) of ``features`` (B, U, C); ``mask`` (B, U) is False for padding."""
        return self.wavlm.encoder(features, attention_mask=mask).last_hidden_state


class GatedAttention(WavLMAttention):
    """The library's attention in less memory: the bias of a pair of units is looked up by their distance.

    Layers pass on the bias of all distances (H, 2 U - 1), not of all pairs (H, U, U).
    """

    _table: Tensor | None = None

    def forward(  # type: ignore[override]  # the library's annotation differs from what it returns
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        index: int = 0,
        **kwargs: Any,
    ) -> tuple[Tensor, None, Tensor]:
        """Output (B, U, C), None, and the bias by distance (H, 2 U - 1), of ``hidden_states`` (B, U, C).

        ``attention_mask`` (B, U) is False for padding, and ``position_bias`` is
        what the layer before returned. The library's other arguments have no effect.
        """
        n_units = hidden_states.shape[1]
        by_distance = self.bias_by_distance(n_units) if position_bias is None else position_bias

        def heads(channels: Tensor) -> Tensor:
            return channels.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

        gates = self.gru_rel_pos_linear(heads(hidden_states)).unflatten(-1, (2, 4)).sum(-1).sigmoid()
        gate = gates[..., :1] * (gates[..., 1:] * self.gru_rel_pos_const - 1) + 2
        key, value = heads(self.k_proj(hidden_states)), heads(self.v_proj(hidden_states))
        # row r of all windows of the table belongs to the r-th query from the end
        bias = by_distance.unfold(-1, n_units, 1)
        gate, query = gate.flip(2), heads(self.q_proj(hidden_states)).flip(2)
        gathered = []
        for first in range(0, n_units, _ROWS):
            rows = slice(first, first + _ROWS)
            scores = (gate[:, :, rows] * bias[:, rows]).to(query.dtype)
            if attention_mask is not None:
                scores.masked_fill_(~attention_mask[:, None, None].bool(), -torch.inf)
            gathered.append(F.scaled_dot_product_attention(query[:, :, rows], key, value, attn_mask=scores))
        result = torch.cat(gathered, 2).flip(2).transpose(1, 2).flatten(2)
        return self.out_proj(result), None, by_distance

    def bias_by_distance(self, n_units: int) -> Tensor:
        """Bias (H, 2 n_units - 1) of the key that is 1 - n_units ... n_units - 1 units later."""
        table, device = self._table, self.rel_attn_embed.weight.device
        if table is None or table.device != device or table.shape[1] < 2 * n_units - 1:
            n_known = max(n_units, LONGEST)
            later, earlier = self.compute_bias(1, n_known)[:, 0], self.compute_bias(n_known, 1)[:, :, 0]
            self._table = table = torch.cat([earlier.flip(1)[:, :-1], later], 1)
        middle = table.shape[1] // 2
        return table[:, middle - n_units + 1 : middle + n_units]


def load_network(state: Mapping[str, Tensor], config: Mapping[str, Any], path: str | Path) -> WavLMNetwork:
    """Build the network of a published file, ready for use.

    ``state`` has its names or the library's; what its ``config`` lacks is as in WavLM-Base+.

    Raises:
        CheckpointError: It is of another design; see also :func:`vencoder.network.assign_weights`.
    """
    check_model_kind(state, _KIND, path)
    own = {}
    for name, tensor in library_names(state).items():
        for pattern, replacement in _OWN_NAMES:
            name = re.sub(pattern, replacement, name)
        if name != "masked_spec_embed":  # for training
            own[name] = tensor
    sizes = _config(own, config, path)
    with torch.device("meta"):
        network = WavLMNetwork(sizes)
    assign_weights(network, {f"wavlm.{name}": tensor for name, tensor in own.items()}, path)
    return network


def _config(state: Mapping[str, Tensor], config: Mapping[str, Any], path: str | Path) -> WavLMConfig:
    """Sizes from the tensors, and from the file's configuration where tensors do not show them."""
    large = "feature_extractor.conv_layers.1.layer_norm.weight" in state
    if large or config.get("layer_norm_first", False) or not config.get("gru_rel_pos", True):
        raise CheckpointError(
            f"{path} cannot be used: it is a WavLM of another design, as WavLM-Large is; "
            "the encoder needs WavLM-Base+"
        )
    strides = [
        stride for *_, stride in from_expression(config.get("conv_feature_layers", _CONVOLUTIONS), path)
    ]
    table = "encoder.layers.0.attention.rel_attn_embed.weight"
    n_buckets, n_heads = shape_of(state, _KIND, path, table, 2)
    max_distance = config.get("max_distance", _MAX_DISTANCE)
    if not isinstance(max_distance, int) or n_buckets < 4 or max_distance <= n_buckets // 4:
        raise CheckpointError(f"{path} cannot be used: distances up to {max_distance} in {n_buckets} rows")
    return WavLMConfig(
        **transformer_sizes(state, _KIND, path, strides, n_heads),
        feat_extract_norm="group",
        do_stable_layer_norm=False,
        num_buckets=n_buckets,
        max_bucket_distance=max_distance,
    )
