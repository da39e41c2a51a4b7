"""The network of ppg-starter2: the first layers of Whisper's encoder, with attention to the near past.

Two convolutions and a few Transformer layers, as of Radford et al., Robust speech recognition via
large-scale weak supervision (2022), from whose weights its training starts. Instead of absolute
positions it has a bias for each distance (Raffel et al., T5, 2020), and attends to nothing
outside a window, so that a unit does not depend on where in a recording it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 64  # units whose attention is computed together, with what lies around them
N_MELS = 80  # bands of the spectrum
_NEVER = -1e4  # added to the attention to what is outside


@dataclass(frozen=True)
class AttentionDesign:
    """Sizes of a network, and the version of the network and its front end that a file states."""

    version: int
    width: int
    heads: int
    hidden: int
    layers: int
    bottleneck: int  # D, channels of the units
    past: int  # units that a layer sees before a unit
    future: int  # and after it
    chunk = 3000  # units, a minute, computed at once

    @property
    def reach(self) -> tuple[int, int]:
        """Units before and after a unit beyond which nothing has influence."""
        return self.layers * self.past + 2, self.layers * self.future + 2  # convolutions and the spectrum

    def build(self) -> AttentionNetwork:
        """A network with random weights."""
        return AttentionNetwork(self)


class AttentionLayer(nn.Module):
    """Attention within a window, then a network for each unit."""

    _frozen_bias: Tensor | None

    def __init__(self, design: AttentionDesign) -> None:
        super().__init__()
        width, self.heads = design.width, design.heads
        self.past, self.future = design.past, design.future
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value, self.mix = nn.Linear(width, width), nn.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(self.heads, self.past + 1 + self.future))
        self.register_buffer("_frozen_bias", None, persistent=False)
        self.up, self.down = nn.Linear(width, design.hidden), nn.Linear(design.hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, U, C) to (B, U, C)."""
        return self.transform(self.attend(x))

    def attend(self, x: Tensor, skip: int = 0) -> Tensor:
        """``x`` (B, U - skip, C) with what it takes from the units around.

        The first ``skip`` of them, at most the past of a unit, are only there for the others.
        """
        y = self.attention_norm(x)
        x = x[:, skip:]
        queries = _windows(self.query(y[:, skip:]), BLOCK, 0, BLOCK - 1)  # (B, W, BLOCK, C)
        size = self.past + BLOCK + self.future
        around = size, self.past - skip, self.future + BLOCK - 1
        keys, values = (_windows(layer(y), *around) for layer in (self.key, self.value))
        there = _windows(torch.ones_like(y[..., :1]), *around)
        bias = self.bias() if self._frozen_bias is None else self._frozen_bias
        bias = bias.to(y.dtype).masked_fill(there.flatten(0, 1).mT[:, None] == 0, _NEVER)
        query, key, value = (
            part.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (queries, keys, values)
        )
        y = (
            F.scaled_dot_product_attention(query, key, value, bias).transpose(1, 2).flatten(2)
        )  # (B W, BLOCK, C)
        return x + self.mix(y.unflatten(0, (len(x), -1)).flatten(1, 2)[:, : x.size(1)])

    def transform(self, x: Tensor) -> Tensor:
        """``x`` (..., C) with what the network makes of each unit."""
        return x + self.down(F.gelu(self.up(self.norm(x))))

    def freeze(self) -> None:
        """Compute once what follows from the weights, which do not change any more."""
        self._frozen_bias = self.bias()

    def bias(self) -> Tensor:
        """What is added to the attention (heads, BLOCK, past + BLOCK + future) of the units of a block."""
        size = self.past + BLOCK + self.future
        distance = torch.arange(size, device=self.distance.device)
        distance = distance - torch.arange(BLOCK, device=self.distance.device)[:, None]
        outside = (distance < 0) | (distance > self.past + self.future)
        return self.distance[:, distance.clamp(0, self.past + self.future)].masked_fill(outside, _NEVER)


def _windows(x: Tensor, size: int, before: int, after: int) -> Tensor:
    """Windows (B, W, ``size``, C) of x (B, U, C), one for every block, with zeros before and after it."""
    return F.pad(x, (0, 0, before, after)).unfold(1, size, BLOCK).transpose(2, 3)


class AttentionNetwork(nn.Module):
    """From the relative log-mel to a bottleneck: the units, of D channels."""

    def __init__(self, design: AttentionDesign) -> None:
        super().__init__()
        self.ssl_dim = design.bottleneck
        self.conv1 = nn.Conv1d(N_MELS, design.width, 3, padding=1)
        self.conv2 = nn.Conv1d(design.width, design.width, 3, stride=2)
        self.place = nn.Parameter(torch.zeros(design.width))  # what every place adds
        self.layers = nn.ModuleList([AttentionLayer(design) for _ in range(design.layers)])
        self.norm = nn.LayerNorm(design.width)
        self.out = nn.Linear(design.width, design.bottleneck)

    def stem(self, mel: Tensor) -> Tensor:
        """Input (B, U, C) of the first layer; U = N // 2."""
        x = F.gelu(self.conv1(mel.transpose(1, 2)))
        return F.gelu(self.conv2(F.pad(x, (1, 0)))).transpose(1, 2) + self.place

    def forward(self, mel: Tensor) -> Tensor:
        """Units (B, U, D), each of mean 0 and scale 1, of ``mel`` (B, N, 80)."""
        x = self.stem(mel)
        for layer in self.layers:
            x = layer(x)
        return self.units(x)

    def units(self, x: Tensor) -> Tensor:
        """Units (B, U, D) of the output (B, U, C) of the last layer."""
        x = self.out(self.norm(x))
        return F.layer_norm(x, x.shape[-1:])

    def inputs(self, n_units: int) -> list[Tensor]:
        """Place for what each layer is given (1, ``n_units``, C), for :meth:`resume`."""
        return [self.place.new_zeros(1, n_units, len(self.place)) for _ in self.layers]

    def resume(self, x: Tensor, inputs: Sequence[Tensor], first: int) -> Tensor:
        """Units (1, U, D) for the place from ``first`` on of ``inputs``, those of each layer.

        The ones before ``first`` are known, the others are written. ``x`` are the inputs of the first
        layer from there on, the future that there is included.
        """
        n_units = inputs[0].size(1) - first
        for index, (layer, known) in enumerate(zip(self.layers, inputs, strict=True), 1):
            assert isinstance(layer, AttentionLayer)
            before = known[:, max(0, first - layer.past) : first]
            known[:, first:] = x[:, :n_units]
            x = layer.attend(torch.cat([before, x], 1), before.size(1))
            x = layer.transform(x[:, : n_units + (len(inputs) - index) * layer.future])
        return self.units(x)
