"""Units of the project's own small network, whose weights are in the repository.

It was trained to classify phones, and to give the same units for the same words
in another voice (tools/starter). Its input is the spectrum relative to the
clip's average, and its units are relative to theirs, which removes microphone,
loudness and part of the speaker's timbre.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.checkpoint import describe_file, read_weights
from modules.common.errors import CheckpointError, MissingWeightsError
from modules.dsp.mel_basis import mel_basis
from modules.pretrained.weights import ROOT
from vencoder import ENCODERS
from vencoder.network import NetworkEncoder

WEIGHTS = ROOT / str(ENCODERS["ppg-starter"].shipped)
VERSION = 1  # of network and front end; a file states the version that it was trained for

UNITS_PER_SECOND = 50
N_MELS = 80
_RATE, _HOP, _WINDOW, _N_FFT = 16000, 160, 400, 512
_ACTIVE = 1e-2  # a frame 20 dB below the loud ones counts half in the averages
_FLOOR = 1e-5  # added to the power of a band, relative to the loud frames' energy
_DILATIONS = (1, 1, 2, 2, 4, 2, 1, 1)
_PRIOR = 5.0  # units; averages of fewer are pulled towards 0: they describe a word, not a voice
_REACH = 48  # units; beyond 43 to either side nothing has influence
_CHUNK = 3000  # units, a minute, computed at once


class PowerMel(nn.Module):
    """Mel powers (B, N, 80) of audio (B, T) at 16 kHz, 100 frames a second.

    Frame i is centred at sample (i + 0.5) * 160. The Fourier transform is a
    convolution with sines, which every ONNX runtime has.
    """

    sines: Tensor
    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        time = torch.arange(_WINDOW) - _WINDOW / 2
        phase = 2 * torch.pi / _N_FFT * torch.arange(_N_FFT // 2 + 1)[:, None] * time
        sines = torch.cat([phase.cos(), phase.sin()]) * torch.hann_window(_WINDOW)
        basis = mel_basis(_RATE, _N_FFT, N_MELS, 20.0, 7600.0, equal_area=False)
        self.register_buffer("sines", sines[:, None], persistent=False)
        self.register_buffer("basis", torch.from_numpy(basis), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """(B, N, 80) of audio from :func:`pad_frames`; N = (T - 240) // 160."""
        parts = F.conv1d(audio[:, None], self.sines, stride=_HOP).square()
        power = parts[:, : _N_FFT // 2 + 1] + parts[:, _N_FFT // 2 + 1 :]
        return (self.basis @ power).transpose(1, 2)


def pad_frames(audio: Tensor) -> Tensor:
    """Pad ``audio`` (T,) with silence, for 2 U or 2 U + 1 frames; U = T / 320, rounded.

    The padding does not depend on the length, so that a graph needs no arithmetic on shapes.
    """
    return F.pad(audio, ((_WINDOW - _HOP) // 2, (_WINDOW + _HOP) // 2))


def relative_mel(power: Tensor) -> tuple[Tensor, Tensor]:
    """Log-mel (B, N, 80) of a clip's mel powers, relative to its average, and frames' weights (B, N, 1)."""
    energy = power.sum(-1, keepdim=True)
    loud = energy.square().sum(1, keepdim=True) / energy.sum(1, keepdim=True).clamp(min=1e-20)
    loud = loud.clamp(min=1e-7)  # silence is not amplified
    weight = energy / (energy + _ACTIVE * loud) + 1e-4  # so that silence has an average too
    share = weight / weight.sum(1, keepdim=True)
    log = (power / loud + _FLOOR).log()
    return log - (log * share).sum(1, keepdim=True), weight


class ConvNextBlock(nn.Module):
    """A depthwise convolution over time, then a network for each frame (Liu et al., ConvNeXt, 2022)."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.time = nn.Conv1d(width, width, 7, padding=3 * dilation, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, U, C) to (B, U, C)."""
        y = self.norm(self.time(x.transpose(1, 2)).transpose(1, 2))
        return x + self.scale * self.down(F.gelu(self.up(y)))


class PpgNetwork(nn.Module):
    """ConvNeXt from the relative log-mel to a bottleneck: the units, of D channels."""

    def __init__(self, width: int = 256, hidden: int = 512, bottleneck: int = 192) -> None:
        super().__init__()
        self.ssl_dim = bottleneck
        self.stem = nn.Conv1d(N_MELS, width, 6, stride=2, padding=2)
        self.blocks = nn.ModuleList([ConvNextBlock(width, hidden, dilation) for dilation in _DILATIONS])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, bottleneck)

    def forward(self, mel: Tensor) -> Tensor:
        """Units (B, U, D), each of mean 0 and scale 1, of ``mel`` (B, N, 80); U = N // 2."""
        x = self.stem(mel.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        x = self.out(self.norm(x))
        return F.layer_norm(x, x.shape[-1:])


class PpgEncoder(NetworkEncoder):
    """Units (192, U) of the project's own network, with mean about 0 in every clip.

    Unit u stands for the 20 ms around (u + 0.5) * 320 samples and depends on 0.9 s to
    either side, and on averages of the whole recording. The file is the one in
    the repository, whatever the folder of downloaded weights.
    """

    receptive_field = 160  # half a unit
    context_seconds = 12.0  # the averages of a short slice are those of the song around it

    def _set_up(self) -> None:
        super()._set_up()
        self.spectrum = PowerMel().to(self.device)

    def _weights_file(self) -> Path:
        if self.weights is None and not WEIGHTS.is_file():
            raise MissingWeightsError(
                f"{WEIGHTS} is missing; it comes with the project: git checkout pretrain/starter, "
                "or train it with make starter"
            )
        return Path(self.weights or WEIGHTS)

    def _load(self, path: Path) -> PpgNetwork:
        return load_network(path)

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        return [self._units(wave) for wave in waves]

    def _units(self, wave: Tensor) -> Tensor:
        n_units = (len(wave) + _HOP) // self.hop_length
        wave, step = pad_frames(wave)[None], 2 * _CHUNK * _HOP
        starts = range(0, n_units * self.hop_length, step)
        ends = [start + step + _WINDOW - _HOP for start in starts[:-1]]
        power = torch.cat(
            [self.spectrum(wave[:, start:end]) for start, end in zip(starts, [*ends, None], strict=True)],
            dim=1,
        )
        mel, weight = relative_mel(power)
        parts = []
        with self._autocast():
            for first in range(0, n_units, _CHUNK):
                before = max(0, first - _REACH)
                part = self.network(mel[:, 2 * before : 2 * (first + _CHUNK + _REACH) + 1])
                parts.append(part[:, first - before :][:, :_CHUNK].float())
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


def load_network(path: Path) -> PpgNetwork:
    """Load the network of a file, ready for use; raises CheckpointError for another kind or version."""
    state = read_weights(path)
    version = state.pop("version", None)
    if not isinstance(version, Tensor) or version.numel() != 1:
        seems = describe_file(path)
        raise CheckpointError(f"{path} does not hold weights of ppg-starter{f'; {seems}' if seems else ''}")
    if int(version) != VERSION:
        raise CheckpointError(
            f"{path} holds version {int(version)} of ppg-starter, and this program needs version {VERSION}; "
            "take both from the same release"
        )
    with torch.device("meta"):  # draws no random numbers
        network = PpgNetwork()
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not a ppg-starter of version {VERSION}: its tensors differ"
        ) from error
    return network.eval().requires_grad_(False)
