"""Names of HuBERT's tensors: from published files to the transformers library.

There are three layouts: fairseq's (ContentVec, the Chinese HuBERT), that of
HuBERT-soft, and the library's own, in which ContentVec is published as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

_Rules = Sequence[tuple[str, str]]

_FAIRSEQ: _Rules = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    # a GroupNorm is the third of its block; a LayerNorm lies one deeper, between two transpositions
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.(?:1\.)?", r"feature_extractor.conv_layers.\1.layer_norm."),
    (r"layer_norm\.", "feature_projection.layer_norm."),
    (r"post_extract_proj\.", "feature_projection.projection."),
    (r"encoder\.pos_conv\.0\.", "encoder.pos_conv_embed.conv."),
    (r"encoder\.layers\.(\d+)\.self_attn\.", r"encoder.layers.\1.attention."),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.", r"encoder.layers.\1.layer_norm."),
    (r"encoder\.layers\.(\d+)\.fc1\.", r"encoder.layers.\1.feed_forward.intermediate_dense."),
    (r"encoder\.layers\.(\d+)\.fc2\.", r"encoder.layers.\1.feed_forward.output_dense."),
    (r"mask_emb$", "masked_spec_embed"),
)
_SOFT: _Rules = (
    (r"feature_extractor\.conv(\d+)\.", r"feature_extractor.conv_layers.\1.conv."),
    (r"feature_extractor\.norm0\.", "feature_extractor.conv_layers.0.layer_norm."),
    (r"feature_projection\.norm\.", "feature_projection.layer_norm."),
    (r"positional_embedding\.conv\.", "encoder.pos_conv_embed.conv."),
    (r"norm\.", "encoder.layer_norm."),
    (r"encoder\.layers\.(\d+)\.self_attn\.", r"encoder.layers.\1.attention."),
    (r"encoder\.layers\.(\d+)\.norm1\.", r"encoder.layers.\1.layer_norm."),
    (r"encoder\.layers\.(\d+)\.norm2\.", r"encoder.layers.\1.final_layer_norm."),
    (r"encoder\.layers\.(\d+)\.linear1\.", r"encoder.layers.\1.feed_forward.intermediate_dense."),
    (r"encoder\.layers\.(\d+)\.linear2\.", r"encoder.layers.\1.feed_forward.output_dense."),
    (r"proj\.", "final_proj."),
)
_WEIGHT_NORM: _Rules = (
    (r"(.*)\.weight_g$", r"\1.parametrizations.weight.original0"),
    (r"(.*)\.weight_v$", r"\1.parametrizations.weight.original1"),
)


def library_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published file under the names of ``transformers.HubertModel``.

    The projection after the encoder becomes ``final_proj``. Unknown names stay as they are.
    """
    rules: _Rules = ()
    if "post_extract_proj.weight" in state:
        rules = _FAIRSEQ
    elif "positional_embedding.conv.bias" in state:
        rules = _SOFT
    renamed = {torch_name(rename(name, rules)): tensor for name, tensor in state.items()}
    return {part: piece for name, tensor in renamed.items() for part, piece in _split(name, tensor)}


def torch_name(name: str) -> str:
    """Name of a tensor, with that of today's torch for the parts of weight norm."""
    return rename(name, _WEIGHT_NORM)


def rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    """Replace the beginning of ``name`` by the first rule, (pattern, replacement), that matches."""
    for pattern, replacement in rules:
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", replacement, name)
    return name


def _split(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """Split a tensor (3 C, ...) in which query, key and value are stacked."""
    stem, stacked, leaf = name.rpartition("in_proj_")
    if not stacked or len(tensor) % 3:
        return [(name, tensor)]
    return [(f"{stem}{part}_proj.{leaf}", piece) for part, piece in zip("qkv", tensor.chunk(3), strict=True)]
