"""The neural vocoders as ONNX graphs: mel and F0 to sound, the sine source included.

The source is inside because every program would otherwise have to write one of
its own, and phase is where they go wrong: here it is summed in float64, as in
PyTorch. What is random comes in from outside, so that results repeat: the noise,
and the phase at which each harmonic begins. The second also lets a song be
made in pieces: a piece begins where the phase of the last one ends.

The network is the published one, with plain convolutions: the layers in
vdecoder/layers.py are laid out for PyTorch's processors, not for these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.check import FRAMES, SAMPLES, Graph
from export.glow import GlowGraph, glow_inputs, mel_reference
from export.graph import Shape
from models import GlowSVC
from modules.onnx.manifest import MODEL, VOCODER
from vdecoder.draws import N_HARMONICS
from vdecoder.generator import SLOPE, Generator, ResBlock1
from vdecoder.layers import Conv, Inject, Upsample
from vdecoder.nsf_hifigan import NeuralVocoder
from vdecoder.nsf_snake_hifigan import SnakeGenerator
from vdecoder.snake import Snake
from vdecoder.source import AMPLITUDE, NOISE

_SOURCE: dict[str, Shape] = {"source_noise": (1, SAMPLES), "phase": (1, N_HARMONICS)}
_AUDIO: tuple[str, Shape] = ("audio", (1, SAMPLES))


def vocoder_graph(vocoder: NeuralVocoder) -> Graph:
    """Return the graph of a vocoder alone."""
    inputs: dict[str, Shape] = {"mel": (1, vocoder.n_mels, FRAMES), "f0": (1, FRAMES), **_SOURCE}

    def reference(feed: Mapping[str, Tensor]) -> Tensor:
        return _sing(vocoder, feed["mel"], feed["f0"], feed)

    return Graph(VOCODER, VocoderGraph(vocoder), inputs, _AUDIO, reference, vocoder.hop_length)


def fused_graph(model: GlowSVC, vocoder: NeuralVocoder) -> Graph:
    """Return the graph of a voice and its vocoder in one."""
    inputs = glow_inputs(model)
    first = {name: inputs.pop(name) for name in ("units", "f0", "uv", "noise")}
    mel = mel_reference(model)

    def reference(feed: Mapping[str, Tensor]) -> Tensor:
        return _sing(vocoder, mel(feed), feed["f0"] * (feed["uv"] > 0.5), feed)

    module = FusedGraph(GlowGraph(model), VocoderGraph(vocoder))
    return Graph(MODEL, module, {**first, **_SOURCE, **inputs}, _AUDIO, reference, vocoder.hop_length)


def reach(network: Generator) -> int:
    """Return how many frames on either side the sound of a frame depends on."""
    # one more: where a stage of a piece begins, its first samples of the source are missing
    return network._reaches()[0] + network.conv_pre.reach + 1


def _sing(vocoder: NeuralVocoder, mel: Tensor, f0: Tensor, feed: Mapping[str, Tensor]) -> Tensor:
    given: Any = _Given(feed["phase"], feed["source_noise"])
    network = vocoder.network
    excitation = network.m_source(f0, vocoder.hop_length, vocoder.sampling_rate, given)
    return network(vocoder._scaled(mel), excitation)


class _Given:
    """Stands for the generator of the sine source: draws what it was given."""

    def __init__(self, phase: Tensor, noise: Tensor) -> None:
        self._phase, self._noise = phase.double().numpy(), noise.numpy()

    def random(self, n: int) -> np.ndarray:
        return self._phase[0, -n:]

    def standard_normal(self, shape: tuple[int, ...], dtype: object) -> np.ndarray:
        drawn, self._noise = self._noise[:, : shape[1]], self._noise[:, shape[1] :]
        return np.array(drawn)


class FusedGraph(nn.Module):
    """The acoustic model and the vocoder as one: units to sound."""

    def __init__(self, glow: GlowGraph, vocoder: VocoderGraph) -> None:
        super().__init__()
        self.glow, self.vocoder = glow, vocoder

    def forward(
        self,
        units: Tensor,
        f0: Tensor,
        uv: Tensor,
        noise: Tensor,
        source_noise: Tensor,
        phase: Tensor,
        speaker: Tensor | None = None,
        volume: Tensor | None = None,
    ) -> Tensor:
        """Return the sound (1, N * hop_length); arguments as of the two."""
        mel = self.glow(units, f0, uv, noise, speaker, volume)
        return self.vocoder(mel, f0 * (uv > 0.5), source_noise, phase)


class VocoderGraph(nn.Module):
    """A neural vocoder as one module without pieces.

    Args:
        vocoder: On the CPU, in float32.
    """

    def __init__(self, vocoder: NeuralVocoder) -> None:
        super().__init__()
        network = vocoder.network
        self.config = network.config
        # of (1, 1, N): the scale of the mel that the network was trained on
        self.scale = float(vocoder._scaled(torch.ones(1)))
        self.source = Source(network, vocoder.sampling_rate)
        self.pre = _conv(network.conv_pre)
        self.snakes = isinstance(network, SnakeGenerator)
        if isinstance(network, SnakeGenerator) and network.config.gin_channels:
            self.pre = _filled(self.pre, self.pre.weight, self.pre.bias + network.cond.bias)  # of no speaker
        self.activations = nn.ModuleList(
            [Snake1d(module) for module in (*network.snakes, network.snake_post)]
            if isinstance(network, SnakeGenerator)
            else [nn.LeakyReLU(SLOPE) for _ in network.ups] + [nn.LeakyReLU(0.01)]
        )
        self.ups = nn.ModuleList(map(_transposed, network.ups))
        self.injections = nn.ModuleList(map(_strided, network.noise_convs))
        self.blocks = nn.ModuleList(map(_block, network.resblocks))
        self.post = _conv(network.conv_post)

    def forward(self, mel: Tensor, f0: Tensor, source_noise: Tensor, phase: Tensor) -> Tensor:
        """Return the sound (1, N * hop_length), within ±1.

        Args:
            mel: (1, M, N), natural log.
            f0: (1, N), Hz, 0 where unvoiced.
            source_noise: (1, N * hop_length), standard normal.
            phase: (1, 9), of each harmonic before the first sample, cycles.
        """
        excitation = self.source(f0, source_noise, phase).unsqueeze(1)
        x = self.pre(mel * self.scale)
        n_blocks = len(self.config.resblock_kernel_sizes)
        for stage, (up, inject) in enumerate(zip(self.ups, self.injections, strict=True)):
            x = up(self.activations[stage](x)) + inject(excitation)
            blocks: Any = self.blocks[stage * n_blocks : (stage + 1) * n_blocks]
            x = sum((block(x) for block in blocks[1:]), blocks[0](x)) / n_blocks
        return self.post(self.activations[-1](x)).tanh()[:, 0]


class Source(nn.Module):
    """The excitation; see :class:`vdecoder.source.SineSource`.

    Args:
        network: Whose source it is.
        sampling_rate: Hz.
    """

    weight: Tensor
    order: Tensor

    def __init__(self, network: Generator, sampling_rate: int) -> None:
        super().__init__()
        linear = network.m_source.l_linear
        self.hop_length, self.sampling_rate = network.config.hop_length, sampling_rate
        self.register_buffer("weight", AMPLITUDE * linear.weight.detach().clone().view(-1, 1))
        self.register_buffer("order", torch.arange(1, N_HARMONICS + 1).view(-1, 1))
        self.bias = float(linear.bias.detach())
        self.deviation = float(linear.weight.detach().norm())

    def forward(self, f0: Tensor, source_noise: Tensor, phase: Tensor) -> Tensor:
        """Return (1, T); arguments as of :class:`VocoderGraph`."""
        voiced = (f0 > 0).float()
        step = (f0 * voiced).double() / self.sampling_rate  # cycles per sample
        advance = step * self.hop_length
        begin = advance.cumsum(1) - advance
        clock = torch.arange(1, self.hop_length + 1, dtype=torch.float64)
        cycles = (begin.unsqueeze(2) + step.unsqueeze(2) * clock).flatten(1)
        fraction = (cycles - cycles.floor()).float()  # of the fundamental; the harmonics follow in float32
        angles = 2 * math.pi * (fraction.unsqueeze(1) * self.order + phase.unsqueeze(2))
        sines = (angles.sin() * self.weight).sum(1)
        held = voiced.unsqueeze(2).expand(-1, -1, self.hop_length).flatten(1)
        level = self.deviation * (AMPLITUDE / 3 + (NOISE - AMPLITUDE / 3) * held)
        return (sines * held + self.bias + source_noise * level).tanh()


class _Residual1(nn.Module):
    """Pairs of convolutions, each after an activation, around a residual path."""

    def __init__(self, block: Any, activations: list[nn.Module]) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(map(_conv, block.convs1))
        self.plain = nn.ModuleList(map(_conv, block.convs2))
        self.activations = nn.ModuleList(activations)

    def forward(self, x: Tensor) -> Tensor:
        for i, (dilated, plain) in enumerate(zip(self.dilated, self.plain, strict=True)):
            first, second = self.activations[2 * i], self.activations[2 * i + 1]
            x = x + plain(second(dilated(first(x))))
        return x


class _Residual2(nn.Module):
    """Single convolutions, each after an activation, around a residual path."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.convs = nn.ModuleList(map(_conv, block.convs))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, SLOPE))
        return x


class Snake1d(nn.Module):
    """The periodic activation without aliasing, see vdecoder/snake.py, on (1, C, T)."""

    alpha: Tensor
    scale: Tensor
    up: Tensor
    down: Tensor

    def __init__(self, snake: Snake) -> None:
        super().__init__()
        act, channels = snake.act, len(snake.act.alpha)
        self.channels = channels
        self.register_buffer("alpha", act.alpha.detach().exp().view(-1, 1))
        self.register_buffer("scale", 1 / (act.beta.detach().exp() + 1e-9).view(-1, 1))
        # twice, since every other sample in between is missing
        self.register_buffer("up", 2 * snake.upsample.filter.detach().repeat(channels, 1, 1))
        self.register_buffer("down", snake.downsample.lowpass.filter.detach().repeat(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        padded = F.pad(x, (5, 5), mode="replicate")
        y = F.conv_transpose1d(padded, self.up, stride=2, groups=self.channels)[:, :, 15:-15]
        y = y + (y * self.alpha).sin().square() * self.scale
        return F.conv1d(F.pad(y, (5, 6), mode="replicate"), self.down, stride=2, groups=self.channels)


def _block(block: Any) -> nn.Module:
    if isinstance(block, ResBlock1):
        return _Residual1(block, [nn.LeakyReLU(SLOPE) for _ in range(2 * len(block.convs1))])
    if hasattr(block, "activations"):
        return _Residual1(block, [Snake1d(snake) for snake in block.activations])
    return _Residual2(block)


def _conv(conv: Conv) -> nn.Conv1d:
    weight = conv.weight[:, :, 0]
    n_out, n_in, size = weight.shape
    made = nn.Conv1d(n_in, n_out, size, padding=conv.reach, dilation=conv.dilation)
    return _filled(made, weight, conv.bias)


def _transposed(up: Any) -> nn.ConvTranspose1d:
    """Return the transposed convolution whose taps ``Upsample._arranged`` has put into a matrix."""
    assert isinstance(up, Upsample)
    n_out = len(up.bias) // up.stride
    taps = up.weight.view(up.stride, n_out, -1, up.n_taps).permute(2, 1, 3, 0).flip(2)
    weight = taps.flatten(2)[:, :, : up.kernel_size]
    made = nn.ConvTranspose1d(len(weight), n_out, up.kernel_size, up.stride, up.padding)
    return _filled(made, weight, up.bias[:n_out])


def _strided(inject: Any) -> nn.Conv1d:
    assert isinstance(inject, Inject)
    made = nn.Conv1d(1, len(inject.weight), inject.kernel_size, inject.stride, inject.padding)
    return _filled(made, inject.weight, inject.bias)


def _filled(made: Any, weight: Tensor, bias: Tensor) -> Any:
    made.weight = nn.Parameter(weight.detach().clone().contiguous(), requires_grad=False)
    made.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return made
