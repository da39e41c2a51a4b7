"""Units of the project's own small network, whose weights are in the repository.

It was trained to classify phones, and to give the same units for the same words
in another voice (tools/starter). Its input is the spectrum relative to the
clip's average, and its units are relative to theirs, which removes microphone,
loudness and part of the speaker's timbre.

A recording may end anywhere: units near its end are computed with less of the future,
and training ends clips at random, so that a live conversion can choose how long it waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.checkpoint import describe_file, read_weights
from modules.common.errors import CheckpointError, MissingWeightsError
from modules.dsp.mel_basis import mel_basis
from modules.pretrained.weights import ROOT
from vencoder import ENCODERS
from vencoder.network import NetworkEncoder
from vencoder.ppg.attention import N_MELS as N_MELS
from vencoder.ppg.attention import AttentionDesign, AttentionLayer, AttentionNetwork

if TYPE_CHECKING:
    from vencoder.ppg.stream import PpgStream


@dataclass(frozen=True)
class PpgDesign:
    """Sizes of a network, and the version of the network and its front end that a file states."""

    version: int
    width: int
    hidden: int
    bottleneck: int  # D, channels of the units
    blocks: tuple[tuple[int, int], ...]  # dilation and number of taps after the present one, of each

    chunk = 3000  # units, a minute, computed at once

    @property
    def reach(self) -> tuple[int, int]:
        """Units before and after a unit beyond which nothing has influence."""
        before = sum(dilation * (_TAPS - 1 - after) for dilation, after in self.blocks)
        after = sum(dilation * after for dilation, after in self.blocks)
        return before + 2, after + 2  # the first convolution and the spectrum span one more

    def build(self) -> PpgNetwork:
        """A network with random weights."""
        return PpgNetwork(self)


_TAPS = 7
DESIGNS: dict[str, PpgDesign | AttentionDesign] = {
    "ppg-starter": PpgDesign(1, 256, 512, 192, tuple((dilation, 3) for dilation in (1, 1, 2, 2, 4, 2, 1, 1))),
    # 2.6 s of the past, 0.9 s of the future
    "ppg-starter2": AttentionDesign(2, 512, 8, 2048, layers=2, bottleneck=256, past=64, future=21),
}
UNITS_PER_SECOND = 50
_RATE, HOP, WINDOW, _N_FFT = 16000, 160, 400, 512
_ACTIVE = 1e-2  # a frame 20 dB below the loud ones counts half in the averages
_FLOOR = 1e-5  # added to the power of a band, relative to the loud frames' energy
_PRIOR = 5.0  # units; averages of fewer are pulled towards 0: they describe a word, not a voice


class PowerMel(nn.Module):
    """Mel powers (B, N, 80) of audio (B, T) at 16 kHz, 100 frames a second.

    Frame i is centred at sample (i + 0.5) * 160. The Fourier transform is a
    convolution with sines, which every ONNX runtime has.
    """

    sines: Tensor
    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        time = torch.arange(WINDOW) - WINDOW / 2
        phase = 2 * torch.pi / _N_FFT * torch.arange(_N_FFT // 2 + 1)[:, None] * time
        sines = torch.cat([phase.cos(), phase.sin()]) * torch.hann_window(WINDOW)
        basis = mel_basis(_RATE, _N_FFT, N_MELS, 20.0, 7600.0, equal_area=False)
        self.register_buffer("sines", sines[:, None], persistent=False)
        self.register_buffer("basis", torch.from_numpy(basis), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """(B, N, 80) of audio from :func:`pad_frames`; N = (T - 240) // 160."""
        parts = F.conv1d(audio[:, None], self.sines, stride=HOP).square()
        power = parts[:, : _N_FFT // 2 + 1] + parts[:, _N_FFT // 2 + 1 :]
        return (self.basis @ power).transpose(1, 2)


def pad_frames(audio: Tensor) -> Tensor:
    """Pad ``audio`` (T,) with silence, for 2 U or 2 U + 1 frames; U = T / 320, rounded.

    The padding does not depend on the length, so that a graph needs no arithmetic on shapes.
    """
    return F.pad(audio, ((WINDOW - HOP) // 2, (WINDOW + HOP) // 2))


def relative_mel(power: Tensor, reference: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Log-mel (B, N, 80) of mel powers, relative to an average, and the frames' weights (B, N, 1).

    The average is that of ``reference`` (B, R, 80), other powers of the same voice, or of the clip itself.
    """
    among = power if reference is None else reference
    energy = among.sum(-1, keepdim=True)
    loud = energy.square().sum(1, keepdim=True) / energy.sum(1, keepdim=True).clamp(min=1e-20)
    loud = loud.clamp(min=1e-7)  # silence is not amplified

    def logarithm(power: Tensor) -> tuple[Tensor, Tensor]:
        energy = power.sum(-1, keepdim=True)
        weight = energy / (energy + _ACTIVE * loud) + 1e-4  # so that silence has an average too
        return (power / loud + _FLOOR).log(), weight

    log, weight = logarithm(among)
    average = (log * (weight / weight.sum(1, keepdim=True))).sum(1, keepdim=True)
    if reference is not None:
        log, weight = logarithm(power)
    return log - average, weight


class ConvNextBlock(nn.Module):
    """A depthwise convolution over time, then a network for each frame (Liu et al., ConvNeXt, 2022).

    ``after`` of its 7 taps lie after the present unit.
    """

    def __init__(self, width: int, hidden: int, dilation: int, after: int) -> None:
        super().__init__()
        self.padding = ((_TAPS - 1 - after) * dilation, after * dilation)
        self.time = nn.Conv1d(width, width, _TAPS, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, U, C) to (B, U, C)."""
        y = self.time(F.pad(x, (0, 0, *self.padding)).transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.down(F.gelu(self.up(self.norm(y))))


class PpgNetwork(nn.Module):
    """ConvNeXt from the relative log-mel to a bottleneck: the units, of D channels."""

    def __init__(self, design: PpgDesign) -> None:
        super().__init__()
        self.ssl_dim = design.bottleneck
        self.stem = nn.Conv1d(N_MELS, design.width, 6, stride=2, padding=2)
        self.blocks = nn.ModuleList(
            [ConvNextBlock(design.width, design.hidden, *block) for block in design.blocks]
        )
        self.norm = nn.LayerNorm(design.width)
        self.out = nn.Linear(design.width, design.bottleneck)

    def forward(self, mel: Tensor) -> Tensor:
        """Units (B, U, D), each of mean 0 and scale 1, of ``mel`` (B, N, 80); U = N // 2."""
        x = self.stem(mel.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        x = self.out(self.norm(x))
        return F.layer_norm(x, x.shape[-1:])


class PpgEncoder(NetworkEncoder):
    """Units (D, U) of one of the project's own networks, with mean about 0 in every clip.

    The name is a key of DESIGNS. Unit u stands for the 20 ms around (u + 0.5) * 320 samples
    and depends on a second or more to either side, see :attr:`PpgDesign.reach`, and on
    averages of the whole recording. The file is the one in the repository, whatever the
    folder of downloaded weights.
    """

    receptive_field = 160  # half a unit
    context_seconds = 12.0  # the averages of a short slice are those of the song around it

    def _set_up(self) -> None:
        super()._set_up()
        self.spectrum = PowerMel().to(self.device)

    def _weights_file(self) -> Path:
        if self.weights is not None:
            return Path(self.weights)
        path = shipped_file(self.name)
        if not path.is_file():
            raise MissingWeightsError(
                f"{path} is missing; it comes with the project: git checkout pretrain/starter, "
                "or train it with make starter"
            )
        return path

    def _load(self, path: Path) -> PpgNetwork | AttentionNetwork:
        return load_network(path, self.name)

    def stream(self, n_units: int) -> PpgStream:
        """The last ``n_units`` units of a recording that goes on."""
        from vencoder.ppg.stream import PpgStream

        return PpgStream(self, n_units)

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        return [self._units(wave) for wave in waves]

    def _units(self, wave: Tensor) -> Tensor:
        n_units = (len(wave) + HOP) // self.hop_length
        design = DESIGNS[self.name]
        wave, step = pad_frames(wave)[None], 2 * design.chunk * HOP
        starts = range(0, n_units * self.hop_length, step)
        ends = [start + step + WINDOW - HOP for start in starts[:-1]]
        power = torch.cat(
            [self.spectrum(wave[:, start:end]) for start, end in zip(starts, [*ends, None], strict=True)],
            dim=1,
        )
        mel, weight = relative_mel(power)
        (before, after), chunk = design.reach, design.chunk
        parts = []
        with self._autocast():
            for first in range(0, n_units, chunk):
                start = max(0, first - before)
                part = self.network(mel[:, 2 * start : 2 * (first + chunk + after) + 1])
                parts.append(part[:, first - start :][:, :chunk].float())
        return subtract_average(torch.cat(parts, dim=1), weight)[0].T.contiguous()


class PpgGraph(nn.Module):
    """The encoder as one module, (1, 1, T) to (1, U, D), for ONNX export."""

    def __init__(self, encoder: PpgEncoder) -> None:
        super().__init__()
        self.network, self.spectrum = encoder.network, encoder.spectrum

    def forward(self, source: Tensor) -> Tensor:
        """Units (1, U, D) of ``source`` (1, 1, T)."""
        mel, weight = relative_mel(self.spectrum(pad_frames(source[0, 0])[None]))
        return subtract_average(self.network(mel), weight)


def subtract_average(units: Tensor, weight: Tensor) -> Tensor:
    """Subtract from ``units`` (B, U, D) their average, with the frames' ``weight`` (B, N, 1)."""
    weight = F.avg_pool1d(weight.transpose(1, 2), 2).transpose(1, 2)
    return units - (units * weight).sum(1, keepdim=True) / (weight.sum(1, keepdim=True) + _PRIOR)


def shipped_file(name: str) -> Path:
    """Place in the repository of the weights of the encoder ``name``."""
    return ROOT / str(ENCODERS[name].shipped)


def load_network(path: Path, name: str) -> PpgNetwork | AttentionNetwork:
    """Load the network of a file, ready for use; raises CheckpointError if it is not a ``name``."""
    design, state = DESIGNS[name], read_weights(path)
    version = state.pop("version", None)
    if not isinstance(version, Tensor) or version.numel() != 1:
        seems = describe_file(path)
        raise CheckpointError(f"{path} does not hold weights of {name}{f'; {seems}' if seems else ''}")
    if int(version) != design.version:
        raise CheckpointError(
            f"{path} holds version {int(version)} of the starter encoder, and {name} is version "
            f"{design.version}; take both from the same release"
        )
    with torch.device("meta"):  # draws no random numbers
        network = design.build()
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not a {name} of version {design.version}: its tensors differ"
        ) from error
    network.eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, AttentionLayer):
            layer.freeze()
    return network
