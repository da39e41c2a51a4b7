"""Networks for inference alone: what each call would compute from the weights is computed once.

A live conversion calls the Glow model thirty times a second on a hundred frames, of which it
took a third to normalize, convert and reorder the weights.
"""

from __future__ import annotations

import torch
from torch import nn

from modules.common.device import convert_weights
from modules.nn.flow import AffineCoupling, InvConvNear
from modules.nn.frames import FrameConv, store_innermost
from modules.nn.wavenet import WeightNormConv1d


@torch.no_grad()
def freeze(network: nn.Module, dtype: torch.dtype) -> None:
    """Prepare ``network`` for calls whose matrix products are in ``dtype``, as autocast would compute them.

    It can no longer be trained, and its state has other names than a file's.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, WeightNormConv1d):
                setattr(module, name, _plain(child))
    convert_weights(network, dtype)
    store_innermost(network)
    for module in network.modules():
        if isinstance(module, InvConvNear | AffineCoupling):
            module.freeze()
    network.requires_grad_(False)


def _plain(conv: WeightNormConv1d) -> FrameConv:
    """The convolution with its kernels."""
    weight, bias = conv.weight, conv.bias
    outputs, inputs, size = weight.shape
    with torch.device("meta"):  # draws no random numbers
        plain = FrameConv(inputs * conv.groups, outputs, size, padding=conv.padding, groups=conv.groups)
    plain.weight, plain.bias = nn.Parameter(weight), nn.Parameter(bias)
    return plain
