"""The WaveNet inside the couplings of the flow, with weight normalization.

``torch.nn.utils.parametrizations.weight_norm`` was considered and rejected: its
two tensors are stored under other names than ``weight_g`` and ``weight_v``,
which are part of the published file format.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modules.nn.frames import convolve

KERNEL_SIZE = 5  # of every published flow


class WeightNormConv1d(nn.Module):
    """Convolution whose kernels are a length times a direction (Salimans and Kingma, 2016).

    Arguments are those of ``nn.Conv1d``; an odd ``kernel_size`` keeps the number of frames.
    Files written with ``torch.nn.utils.parametrizations.weight_norm`` load too, through
    :func:`modules.checkpoint.load_weights`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, groups: int = 1) -> None:
        super().__init__()
        conv = nn.Conv1d(in_channels, out_channels, kernel_size, groups=groups)
        assert conv.bias is not None
        self.padding = kernel_size // 2
        self.groups = groups
        self.bias = nn.Parameter(conv.bias.detach())
        self.weight_g = nn.Parameter(self._length(conv.weight.detach()))
        self.weight_v = nn.Parameter(conv.weight.detach())

    @staticmethod
    def _length(weight: Tensor) -> Tensor:
        return torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True)

    @property
    def weight(self) -> Tensor:
        """Kernels (out_channels, in_channels / groups, kernel_size)."""
        return torch._weight_norm(self.weight_v, self.weight_g, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, out_channels) from ``x`` (B, N, in_channels)."""
        return convolve(x, self.weight, self.bias, self.padding, self.groups)


class DepthwiseSeparableConv1d(nn.Module):
    """One filter per channel, then a mix of the channels: fewer weights."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.depth_conv = WeightNormConv1d(in_channels, in_channels, kernel_size, groups=in_channels)
        self.point_conv = WeightNormConv1d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, out_channels) from ``x`` (B, N, in_channels)."""
        return self.point_conv(self.depth_conv(x))


class WaveNet(nn.Module):
    """Gated convolutions with residual and skip paths (van den Oord et al., 2016), no dilation.

    ``depthwise`` uses :class:`DepthwiseSeparableConv1d` for them.
    """

    def __init__(
        self, hidden_channels: int, n_layers: int, gin_channels: int, depthwise: bool = False
    ) -> None:
        super().__init__()
        conv = DepthwiseSeparableConv1d if depthwise else WeightNormConv1d
        wide = 2 * hidden_channels
        self.in_layers = nn.ModuleList(conv(hidden_channels, wide, KERNEL_SIZE) for _ in range(n_layers))
        # the last layer has no residual path
        self.res_skip_layers = nn.ModuleList(
            WeightNormConv1d(hidden_channels, wide if i < n_layers - 1 else hidden_channels, 1)
            for i in range(n_layers)
        )
        self.cond_layer = WeightNormConv1d(gin_channels, wide * n_layers, 1)

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Sum of the skip paths (B, N, C), not masked.

        From ``x`` (B, N, C), zero outside the mask (B, N, 1), and the condition (B, 1 or N, gin_channels).
        """
        conditions = self.cond_layer(g).chunk(len(self.in_layers), 2)
        skips: list[Tensor] = []
        for conv, mix, condition in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            filtered, gate = (conv(x) + condition).chunk(2, 2)
            out = mix(torch.tanh(filtered) * torch.sigmoid(gate))
            if len(skips) < len(conditions) - 1:
                residual, out = out.chunk(2, 2)
                x = (x + residual) * mask
            skips.append(out)
        return sum(skips[1:], skips[0])
