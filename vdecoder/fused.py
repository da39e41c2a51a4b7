"""Convolutions with the activation or the sum that follows, in one pass over memory, by oneDNN.

A vocoder's layers are so large that every pass over a result is as slow as a
tenth of the convolution itself. torch.compile would generate these operators;
calling them needs no compiler.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TYPICAL_LENGTH = 8192  # samples; a weight packed for one length works for all


def pack(weight: Tensor, reach: int, dilation: int) -> Tensor | None:
    """The weight (C_out, C_in, 1, K) in oneDNN's layout; None where oneDNN does not compute it."""
    if weight.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return None
    if not torch.backends.mkldnn.is_available() or weight.dtype not in _formats():
        return None
    shape = [1, weight.shape[1], 1, _TYPICAL_LENGTH]
    packed: Tensor = torch.ops.aten.mkldnn_reorder_conv2d_weight(
        weight.to_mkldnn(), [0, reach], [1, 1], [1, dilation], 1, shape
    )
    return packed


def _formats() -> set[torch.dtype]:
    half = {torch.bfloat16} if torch.ops.mkldnn._is_mkldnn_bf16_supported() else set()
    return {torch.float32, *half}


def conv_leaky_relu(
    x: Tensor, packed: Tensor, bias: Tensor, reach: int, dilation: int, slope: float | None
) -> Tensor:
    """leaky_relu of the convolution of ``x`` (B, C_in, 1, T); ``slope`` None: the convolution alone."""
    activation = ("none", []) if slope is None else ("leaky_relu", [slope])
    found: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, packed, bias, [0, reach], [1, 1], [1, dilation], 1, *activation, ""
    )
    return found


def conv_add(x: Tensor, packed: Tensor, bias: Tensor, reach: int, dilation: int, other: Tensor) -> Tensor:
    """``other`` (B, C_out, 1, T) plus the convolution of ``x`` (B, C_in, 1, T)."""
    found: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
        x, other, packed, bias, [0, reach], [1, 1], [1, dilation], 1, "add", 1.0, None, [], None
    )
    return found
