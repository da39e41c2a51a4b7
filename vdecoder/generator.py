"""The HiFi-GAN network: from mel and excitation to audio, in pieces of any length.

Names of modules and tensors are the published ones: they are the file format.
A song is synthesized in pieces, so that memory does not grow with its length.
Each piece includes as much of its neighbours as the remaining layers depend on,
which is cropped layer by layer, so that pieces join exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.common.errors import ConfigError, sanitize
from vdecoder.layers import Conv, Inject, OutputConv, Upsample, pack_all
from vdecoder.source import SineSource

SLOPE = 0.1
_MOST = 16  # stages, and blocks of one
_PIECE = 256  # frames: 8 MB for each activation at the published size


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of the network, by their published names."""

    num_mels: int
    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    upsample_initial_channel: int
    resblock: str
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    gin_channels: int = 0  # of a speaker embedding; 0: none

    @classmethod
    def read(cls, values: Mapping[str, Any], source: object) -> GeneratorConfig:
        """Take the fields from the content of a published configuration; other entries are ignored.

        Raises:
            ConfigError: A field is missing or makes no sense.
        """
        missing = [item.name for item in fields(cls) if item.name not in {*values, "gin_channels"}]
        if missing:
            raise ConfigError(f"{source} lacks {', '.join(missing)}: it does not describe a vocoder")
        found = {item.name: _frozen(values[item.name]) for item in fields(cls) if item.name in values}
        config = cls(**{**found, "resblock": str(found["resblock"])})
        problem = config._problem()
        if problem:
            raise ConfigError(f"{source} does not describe a vocoder: {sanitize(problem, 300)}")
        return config

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.upsample_rates)

    def _problem(self) -> str | None:
        for name in ("num_mels", "upsample_initial_channel"):
            if not _is_size(getattr(self, name)):
                return f"{name} is {getattr(self, name)!r}"
        for name in ("upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes"):
            sizes = getattr(self, name)
            if not isinstance(sizes, tuple) or not 0 < len(sizes) <= _MOST or not all(map(_is_size, sizes)):
                return f"{name} is {sizes!r}"
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            return "upsample_rates and upsample_kernel_sizes differ in length"
        pairs = zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True)
        if any(size < rate or (size - rate) % 2 for rate, size in pairs):
            return "an upsampling kernel must be as long as its rate, or an even number longer"
        if any(size % 2 == 0 for size in self.resblock_kernel_sizes):
            return "the resblocks' kernels must be odd"
        sizes = self.resblock_dilation_sizes
        if not isinstance(sizes, tuple) or len(sizes) != len(self.resblock_kernel_sizes):
            return "resblock_dilation_sizes must have one list for each of resblock_kernel_sizes"
        needed = 2 if self.resblock != "1" else 3
        for row in sizes:
            if not isinstance(row, tuple) or len(row) < needed or not all(map(_is_size, row)):
                return f"resblock {self.resblock!r} needs {needed} dilations for each kernel, not {row!r}"
        if self.upsample_initial_channel % 2 ** len(self.upsample_rates):
            return f"upsample_initial_channel {self.upsample_initial_channel} cannot be halved at every stage"
        if not isinstance(self.gin_channels, int) or self.gin_channels < 0:
            return f"gin_channels is {self.gin_channels!r}"
        return None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 2**16


class ResBlock1(nn.Module):
    """Three residual pairs: a dilated convolution, then a plain one."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(Conv(channels, channels, kernel_size, d) for d in dilations[:3])
        self.convs2 = nn.ModuleList(Conv(channels, channels, kernel_size) for _ in dilations[:3])
        self.reach = sum(conv.reach for conv in (*self.convs1, *self.convs2))  # samples, on either side

    def forward(self, x: Tensor, activated: Tensor) -> Tensor:
        """A new tensor from ``x`` (B, C, 1, T) and its leaky_relu, which the blocks share."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = plain(dilated(activated, slope=SLOPE), plus=x)
            if dilated is not self.convs1[-1]:
                activated = F.leaky_relu(x, SLOPE)
        return x


class ResBlock2(nn.Module):
    """Two residual dilated convolutions."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        convs = [Conv(channels, channels, kernel_size, dilation) for dilation in dilations[:2]]
        self.convs = nn.ModuleList(convs)
        self.reach = sum(conv.reach for conv in convs)

    def forward(self, x: Tensor, activated: Tensor) -> Tensor:
        """See :meth:`ResBlock1.forward`."""
        for conv in self.convs:
            x = conv(activated, plus=x)
            if conv is not self.convs[-1]:
                activated = F.leaky_relu(x, SLOPE)
        return x


class Generator(nn.Module):
    """NSF-HiFiGAN (Kong, Kim and Bae 2020, with a sine source); use it after :func:`fold_all`."""

    activation_reach = 0  # samples on either side that an activation depends on

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.upsample_initial_channel
        self.m_source = SineSource()
        self.conv_pre = Conv(config.num_mels, channels, 7)
        self.ups, self.noise_convs, self.resblocks = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        hop_left = config.hop_length
        for rate, kernel_size in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(Upsample(channels, channels // 2, kernel_size, rate, (kernel_size - rate) // 2))
            channels, hop_left = channels // 2, hop_left // rate
            self.noise_convs.append(Inject(channels, hop_left, (hop_left + 1) // 2 if hop_left > 1 else 0))
            for size, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            ):
                self.resblocks.append(self.resblock(channels, size, dilations))
        self.conv_post = OutputConv(channels, 7)

    def resblock(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> nn.Module:
        """One residual block."""
        block = ResBlock1 if self.config.resblock == "1" else ResBlock2
        return block(channels, kernel_size, dilations)

    def in_precision(self, dtype: torch.dtype) -> Generator:
        """Convert the convolutions to ``dtype``, except the first and last; return the network.

        The network must be on its device already, since the weights are also packed for it.
        Both ends are cheap, and bfloat16 has three digits: a mel of -8.03 would
        become -8.0, and the audio would have a noise floor of -54 dB.
        """
        self.to(dtype)
        for end in (self.m_source, self.conv_pre, self.conv_post):
            end.float()
        pack_all(self)
        return self

    def activate(self, stage: int, x: Tensor) -> Tensor:
        """Activation before a stage, or before conv_post if ``stage`` is the number of stages.

        ``x`` may be overwritten.
        """
        return F.leaky_relu_(x, SLOPE if stage < len(self.ups) else 0.01)

    def refine(self, stage: int, x: Tensor) -> Tensor:
        """Mean of a stage's residual blocks for ``x`` (B, C, 1, T)."""
        blocks, activated = self._blocks(stage), F.leaky_relu(x, SLOPE)
        total = blocks[0](x, activated)
        for block in blocks[1:]:
            total.add_(block(x, activated))
        return total.div_(len(blocks))

    def _blocks(self, stage: int) -> Sequence[Any]:
        n_blocks = len(self.config.resblock_kernel_sizes)
        return list(self.resblocks[stage * n_blocks : (stage + 1) * n_blocks])

    def enter(self, mel: Tensor, speaker: Tensor | None) -> Tensor:
        """First features (B, C, 1, N) of mel (B, M, N)."""
        return self.conv_pre(mel.mT.contiguous().mT.unsqueeze(2))

    def forward(
        self,
        mel: Tensor,
        excitation: Tensor,
        speaker: Tensor | None = None,
        piece: int = _PIECE,
    ) -> Tensor:
        """Audio (B, N * hop_length), float32.

        Args:
            mel: (B, M, N), natural log.
            excitation: (B, N * hop_length), from :class:`SineSource`.
            speaker: (B, C), only for networks with ``gin_channels``.
            piece: Frames computed at a time, at most; it changes the result by rounding only.
        """
        n_frames = mel.shape[2]
        n_pieces = -(-n_frames // piece)
        audio = torch.empty(len(mel), n_frames * self.config.hop_length, device=mel.device)
        for index in range(n_pieces):  # of equal length: a short rest would be mostly context
            first, last = index * n_frames // n_pieces, (index + 1) * n_frames // n_pieces
            part = self.logits(mel, excitation, speaker, first, last).float().tanh()
            audio[:, first * self.config.hop_length : last * self.config.hop_length] = part
        return audio

    def logits(
        self, mel: Tensor, excitation: Tensor, speaker: Tensor | None, first: int, last: int
    ) -> Tensor:
        """Output before tanh (B, T) of the frames ``first`` to ``last``."""
        n_frames, reaches = mel.shape[2], self.reaches()
        context = reaches[0] + self.conv_pre.reach
        start, stop = max(0, first - context), min(n_frames, last + context)
        x = self.enter(mel[..., start:stop], speaker)
        rate = 1
        for stage, (up, inject) in enumerate(zip(self.ups, self.noise_convs, strict=True)):
            assert isinstance(up, Upsample)
            reach = reaches[stage]
            x, start, stop = _crop(x, start, stop, first * rate - reach, last * rate + reach)
            x = up(self.activate(stage, x))
            rate, start, stop = rate * up.stride, start * up.stride, stop * up.stride
            x = self.refine(stage, x.add_(inject(excitation, start, stop)))
        x, start, stop = _crop(x, start, stop, first * rate - reaches[-1], last * rate + reaches[-1])
        x = self.conv_post(self.activate(len(self.ups), x))
        return _crop(x, start, stop, first * rate, last * rate)[0]

    def reaches(self) -> list[int]:
        """Samples needed on either side at the input of each stage, and of conv_post."""
        reaches = [self.conv_post.reach + self.activation_reach]
        for stage in reversed(range(len(self.ups))):
            seen = reaches[0] + max(block.reach for block in self._blocks(stage))
            up: Any = self.ups[stage]
            reaches.insert(0, -(-seen // up.stride) + up.reach + self.activation_reach)
        return reaches


def _crop(x: Tensor, start: int, stop: int, wanted_start: int, wanted_stop: int) -> tuple[Tensor, int, int]:
    """Crop ``x`` (B, C, 1, T), which covers ``start`` to ``stop``, to what is still needed."""
    new_start, new_stop = max(start, wanted_start), min(stop, wanted_stop)
    return x[..., new_start - start : new_stop - start], new_start, new_stop
