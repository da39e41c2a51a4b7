"""WavLM-Base+: a HuBERT whose attention also knows how far apart two units are.

The network is the transformers library's; only its attention is computed here
in another order. What it adds to the scores depends on the distance alone, so
a table of distances, made once, stands for a matrix of all pairs per head that
would be made anew for every recording, and grow with the square of it.

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
from torch.nn.utils import parametrize
from transformers import WavLMConfig, WavLMModel
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from modules.checkpoint import read_weights, state_of
from modules.common.errors import CheckpointError
from vencoder.base import check_width, weights_file
from vencoder.convolutions import check_reach, from_expression
from vencoder.fairseq_names import library_names
from vencoder.windowed import (
    LONGEST,
    WindowedEncoder,
    adopt_weights,
    lower_precision,
    refuse_others,
    shape_of,
)

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
    """Units of WavLM-Base+, its last layer, 768 channels.

    Args:
        device: Where the units are computed and returned.
        weights: The model's file; None: the published one's place.
        dtype: bfloat16 or float16 halves the time and the memory of the matrix
            products where the device is made for it. Units stay float32.

    Raises:
        MissingWeightsError: The file has not been downloaded.
        CheckpointError: It cannot be read, or is no such model.
    """

    name = "wavlmbase+"

    def __init__(
        self,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        path = weights_file(self.name, weights)
        content = read_weights(path, keep=("model", "cfg"))
        config = content.get("cfg")
        config = config if isinstance(config, dict) else {}
        self.normalize = config.get("normalize", False) is True
        self.network = load_network(state_of(content, path, "model"), config, path)
        self.ssl_dim = self.network.ssl_dim
        if weights is None:
            check_width(self.name, self.ssl_dim, path)
        if dtype != torch.float32:
            lower_precision(self.network, dtype)
        self.network.to(self.device)


class WavLMNetwork(nn.Module):
    """The network: convolutions, and a transformer with gated relative position bias.

    Args:
        config: Sizes.
    """

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
        """Return what the convolutions make of ``audio`` (B, T), (B, U, C).

        Their normalisation runs over time: no padding here.
        """
        hidden, _ = self.wavlm.feature_projection(self.wavlm.feature_extractor(audio).transpose(1, 2))
        return hidden

    def units(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return units (B, U, D) of ``features`` (B, U, C).

        ``mask`` (B, U) is False where there is only padding, which then has no influence.
        """
        return self.wavlm.encoder(features, attention_mask=mask).last_hidden_state


class GatedAttention(WavLMAttention):
    """The library's attention in less memory: the bias of a pair of units is looked up by their distance.

    Between layers goes not the bias of all pairs (H, U, U), but that of all
    distances (H, 2 U - 1).
    """

    _table: Tensor | None = None

    def forward(  # type: ignore[override]  # the library's says what it does not return
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        index: int = 0,
        **kwargs: Any,
    ) -> tuple[Tensor, None, Tensor]:
        """Return what each unit gathers (B, U, C), None, and the bias by distance (H, 2 U - 1).

        Args:
            hidden_states: (B, U, C).
            attention_mask: (B, U), False where there is only padding.
            position_bias: As returned by the layer before; None: this is the first.
            index: Of the layer; unused.
            **kwargs: What else the library hands down; unused.
        """
        n_units = hidden_states.shape[1]
        by_distance = self.bias_by_distance(n_units) if position_bias is None else position_bias

        def heads(channels: Tensor) -> Tensor:
            return channels.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

        gates = self.gru_rel_pos_linear(heads(hidden_states)).unflatten(-1, (2, 4)).sum(-1).sigmoid()
        gate = gates[..., :1] * (gates[..., 1:] * self.gru_rel_pos_const - 1) + 2
        key, value = heads(self.k_proj(hidden_states)), heads(self.v_proj(hidden_states))
        # row r of all stretches of the table is that of the r-th query from behind
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
        """Return the bias (H, 2 n_units - 1) of the key that is 1 - n_units ... n_units - 1 units later."""
        table, device = self._table, self.rel_attn_embed.weight.device
        if table is None or table.device != device or table.shape[1] < 2 * n_units - 1:
            n_known = max(n_units, LONGEST)
            later, earlier = self.compute_bias(1, n_known)[:, 0], self.compute_bias(n_known, 1)[:, :, 0]
            self._table = table = torch.cat([earlier.flip(1)[:, :-1], later], 1)
        middle = table.shape[1] // 2
        return table[:, middle - n_units + 1 : middle + n_units]


def load_network(state: Mapping[str, Tensor], config: Mapping[str, Any], path: str | Path) -> WavLMNetwork:
    """Return the network with the tensors of a published file, ready for use.

    On the meta device if the tensors are.

    Args:
        state: The file's tensors, float32, under its own names or the library's.
        config: What the file says of itself, ``cfg``; what is missing is as in WavLM-Base+.
        path: The file, for messages.

    Raises:
        CheckpointError: Tensors are missing, unknown, or of the wrong shape, or
            the model is of another design.
    """
    refuse_others(state, _KIND, path)
    own = {}
    for name, tensor in library_names(state).items():
        for pattern, replacement in _OWN_NAMES:
            name = re.sub(pattern, replacement, name)
        if name != "masked_spec_embed":  # for training
            own[f"wavlm.{name}"] = tensor
    sizes = _sizes(own, config, path)
    with torch.device("meta"):  # no random initialisation, and nothing allocated for a file that does not fit
        network = WavLMNetwork(sizes)
    adopt_weights(network, own, path)
    # the kernel follows from its two parts once and for all
    parametrize.remove_parametrizations(network.wavlm.encoder.pos_conv_embed.conv, "weight")
    return network


def _sizes(state: Mapping[str, Tensor], config: Mapping[str, Any], path: str | Path) -> WavLMConfig:
    """Return the sizes that the tensors have, and the file's word for the few that leave no trace in them."""
    large = "wavlm.feature_extractor.conv_layers.1.layer_norm.weight" in state
    if large or config.get("layer_norm_first", False) or not config.get("gru_rel_pos", True):
        raise CheckpointError(
            f"{path} cannot be used: it is a WavLM of another design, as WavLM-Large is; "
            "the encoder needs WavLM-Base+"
        )

    def shape(name: str, n_axes: int) -> tuple[int, ...]:
        return shape_of(state, f"wavlm.{name}", n_axes, path, _KIND)

    convolutions = []
    listed = from_expression(config.get("conv_feature_layers", _CONVOLUTIONS), path)
    for index, (*_, stride) in enumerate(listed):
        channels, _, n_taps = shape(f"feature_extractor.conv_layers.{index}.conv.weight", 3)
        convolutions.append((channels, n_taps, stride))
    check_reach(convolutions, path)
    n_buckets, n_heads = shape("encoder.layers.0.attention.rel_attn_embed.weight", 2)
    width = shape("feature_projection.projection.weight", 2)[0]
    weight_v = "parametrizations.weight.original1"
    _, per_group, n_taps = shape(f"encoder.pos_conv_embed.conv.{weight_v}", 3)
    if width % n_heads or width % per_group:
        raise CheckpointError(
            f"{path} cannot be used: {width} channels make no {n_heads} heads, or no groups of {per_group}"
        )
    max_distance = config.get("max_distance", _MAX_DISTANCE)
    if not isinstance(max_distance, int) or n_buckets < 4 or max_distance <= n_buckets // 4:
        raise CheckpointError(f"{path} cannot be used: distances up to {max_distance} in {n_buckets} rows")
    n_layers = 0
    while f"wavlm.encoder.layers.{n_layers}.attention.q_proj.weight" in state:
        n_layers += 1
    return WavLMConfig(
        hidden_size=width,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        intermediate_size=shape("encoder.layers.0.feed_forward.intermediate_dense.weight", 2)[0],
        conv_dim=[n_out for n_out, *_ in convolutions],
        conv_kernel=[taps for _, taps, _ in convolutions],
        conv_stride=[stride for *_, stride in convolutions],
        conv_bias="wavlm.feature_extractor.conv_layers.0.conv.bias" in state,
        feat_extract_norm="group",
        do_stable_layer_norm=False,
        num_conv_pos_embeddings=n_taps,
        num_conv_pos_embedding_groups=width // per_group,
        num_buckets=n_buckets,
        max_bucket_distance=max_distance,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )
