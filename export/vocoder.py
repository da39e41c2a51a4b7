"""The neural vocoders as ONNX graphs: mel and F0 to audio, the sine source included.

The graph is the network of vdecoder/ itself, without pieces. Only its
resampling layers are replaced, by those that ONNX has. The random numbers of the
source are inputs, so that results repeat: the noise, and the phase at which each
harmonic begins. The second also lets a song be made in pieces: a piece begins
where the phase of the last one ends.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from export.check import FRAMES, SAMPLES, Graph
from export.glow import GlowGraph, glow_inputs, mel_reference
from export.graph import Shape
from models import GlowSVC
from modules.onnx.manifest import MODEL, VOCODER
from vdecoder.draws import N_HARMONICS
from vdecoder.generator import Generator
from vdecoder.layers import Inject, Upsample
from vdecoder.nsf_hifigan import NeuralVocoder
from vdecoder.source import frame_phase, frame_sines

_SOURCE: dict[str, Shape] = {"source_noise": (1, SAMPLES), "phase": (1, N_HARMONICS)}
_AUDIO: tuple[str, Shape] = ("audio", (1, SAMPLES))


def vocoder_graph(vocoder: NeuralVocoder) -> Graph:
    """Graph of a vocoder alone."""
    inputs: dict[str, Shape] = {"mel": (1, vocoder.n_mels, FRAMES), "f0": (1, FRAMES), **_SOURCE}

    def reference(feed: Mapping[str, Tensor]) -> Tensor:
        return _synthesize(vocoder, feed["mel"], feed["f0"], feed)

    return Graph(VOCODER, VocoderGraph(vocoder), inputs, _AUDIO, reference, vocoder.hop_length)


def fused_graph(model: GlowSVC, vocoder: NeuralVocoder) -> Graph:
    """Graph of an acoustic model and its vocoder in one."""
    inputs = glow_inputs(model)
    first = {name: inputs.pop(name) for name in ("units", "f0", "uv", "noise")}
    mel = mel_reference(model)

    def reference(feed: Mapping[str, Tensor]) -> Tensor:
        return _synthesize(vocoder, mel(feed), feed["f0"], feed)

    module = FusedGraph(GlowGraph(model), VocoderGraph(vocoder))
    return Graph(MODEL, module, {**first, **_SOURCE, **inputs}, _AUDIO, reference, vocoder.hop_length)


def reach(network: Generator) -> int:
    """Frames on either side that the audio of a frame depends on."""
    # one more: where a stage of a piece begins, its first samples of the source are missing
    return network.reaches()[0] + network.conv_pre.reach + 1


def _synthesize(vocoder: NeuralVocoder, mel: Tensor, f0: Tensor, feed: Mapping[str, Tensor]) -> Tensor:
    network, phase = vocoder.network, feed["phase"][0].double()
    excitation = network.m_source(f0, vocoder.hop_length, vocoder.sampling_rate, phase, feed["source_noise"])
    return network(mel * vocoder.mel_scale, excitation)


class FusedGraph(nn.Module):
    """The acoustic model and the vocoder as one: units to audio."""

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
        """Synthesize the audio (1, N * hop_length); arguments as of the two."""
        mel = self.glow(units, f0, uv, noise, speaker, volume)
        return self.vocoder(mel, f0, source_noise, phase)  # voiced throughout, as in its training


class VocoderGraph(nn.Module):
    """A neural vocoder as one module without pieces; on the CPU, in float32. Its network is copied."""

    def __init__(self, vocoder: NeuralVocoder) -> None:
        super().__init__()
        self.sampling_rate, self.hop_length = vocoder.sampling_rate, vocoder.hop_length
        self.mel_scale = vocoder.mel_scale
        self.network: Any = copy.deepcopy(vocoder.network)
        self.network.ups = nn.ModuleList(map(_transposed, vocoder.network.ups))
        self.network.noise_convs = nn.ModuleList(map(_strided, vocoder.network.noise_convs))

    def forward(self, mel: Tensor, f0: Tensor, source_noise: Tensor, phase: Tensor) -> Tensor:
        """Audio (1, N * hop_length), within ±1, of a mel (1, M, N), natural log, and F0 (1, N), Hz or 0.

        Noise (1, N * hop_length) is standard normal; ``phase`` (1, 9) that of each harmonic
        before the first sample, in cycles.
        """
        network, hop = self.network, self.hop_length
        step = f0.double() / self.sampling_rate  # cycles per sample
        sines = frame_sines(frame_phase(step, hop), step, hop, phase.double())
        voiced = (f0 > 0).repeat_interleave(hop, 1)
        excitation = network.m_source.mix(sines, voiced, source_noise)[:, None, None]
        x = network.enter(mel * self.mel_scale, None)
        for stage, (up, inject) in enumerate(zip(network.ups, network.noise_convs, strict=True)):
            x = network.refine(stage, up(network.activate(stage, x)) + inject(excitation))
        return network.conv_post(network.activate(len(network.ups), x)).tanh()


def _transposed(up: Any) -> nn.ConvTranspose2d:
    """The transposed convolution that ``Upsample`` does with all phases as channels."""
    assert isinstance(up, Upsample)
    n_out = len(up.bias) // up.stride
    taps = up.weight.reshape(up.stride, n_out, -1, up.n_taps).permute(2, 1, 3, 0).flip(2)
    weight = taps.flatten(2)[:, :, None, : up.kernel_size]
    size, stride, padding = (1, up.kernel_size), (1, up.stride), (0, up.padding)
    made = nn.utils.skip_init(nn.ConvTranspose2d, len(weight), n_out, size, stride, padding)
    return _filled(made, weight, up.bias[:n_out])


def _strided(inject: Any) -> nn.Conv2d:
    """The strided convolution that ``Inject`` does in products."""
    assert isinstance(inject, Inject)
    size, stride, padding = (1, inject.kernel_size), (1, inject.stride), (0, inject.padding)
    made = nn.utils.skip_init(nn.Conv2d, 1, len(inject.weight), size, stride, padding)
    return _filled(made, inject.weight.unsqueeze(2), inject.bias)


def _filled(made: Any, weight: Tensor, bias: Tensor) -> Any:
    made.weight = nn.Parameter(weight.detach().contiguous(), requires_grad=False)
    made.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return made
