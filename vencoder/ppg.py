"""Units of the project's own small network, whose weights lie in the repository.

It was trained to tell phones from each other, and to give the same units for
the same words in another voice (tools/starter): what is left is what is said.
The spectrum is seen relative to the clip's average, and units are given relative
to theirs, so that a microphone, a loudness and part of the singer are gone
before the network begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.checkpoint import appearance, read_weights
from modules.common.errors import CheckpointError, MissingWeightsError
from modules.dsp.mel_basis import mel_basis
from modules.pretrained.weights import ROOT
from vencoder import ENCODERS
from vencoder.base import SpeechEncoder

WEIGHTS = ROOT / str(ENCODERS["ppg-starter"].shipped)
VERSION = 1  # of the network and what is around it; a file says for which it was trained

UNITS_PER_SECOND = 50
N_MELS = 80
_RATE, _HOP, _WINDOW, _N_FFT = 16000, 160, 400, 512
_ACTIVE = 1e-2  # a frame 20 dB below the loud ones counts half in the averages
_FLOOR = 1e-5  # of the loud frames' energy in a band; what is weaker fades into it
_DILATIONS = (1, 1, 2, 2, 4, 2, 1, 1)
_PRIOR = 5.0  # units; the average of fewer is that of a word, not of a voice
_REACH = 48  # units; beyond 43 to either side nothing has influence
_CHUNK = 3000  # units, a minute, computed at once


class Spectrum(nn.Module):
    """Mel powers (B, N, 80) of audio (B, T) at 16 kHz, 100 frames a second.

    Frame i is around sample (i + 0.5) * 160. The transform is a product with
    sines, so that every runtime has it.
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
        """Return (B, N, 80) of audio that :func:`padded` made ready; N = (T - 240) // 160."""
        parts = F.conv1d(audio[:, None], self.sines, stride=_HOP).square()
        power = parts[:, : _N_FFT // 2 + 1] + parts[:, _N_FFT // 2 + 1 :]
        return (self.basis @ power).transpose(1, 2)


def padded(audio: Tensor) -> Tensor:
    """Return ``audio`` (T,) with silence around it, which gives 2 U or 2 U + 1 frames; U = T / 320, rounded.

    The same at every length, so that a graph needs no sums about it.
    """
    return F.pad(audio, ((_WINDOW - _HOP) // 2, (_WINDOW + _HOP) // 2))


def relative(power: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-mel relative to the clip's average (B, N, 80), and the weight of every frame (B, N, 1).

    Args:
        power: Mel powers (B, N, 80).
    """
    energy = power.sum(-1, keepdim=True)
    loud = energy.square().sum(1, keepdim=True) / energy.sum(1, keepdim=True).clamp(min=1e-20)
    loud = loud.clamp(min=1e-7)  # silence stays silence
    weight = energy / (energy + _ACTIVE * loud) + 1e-4  # so that silence has an average too
    share = weight / weight.sum(1, keepdim=True)
    log = (power / loud + _FLOOR).log()
    return log - (log * share).sum(1, keepdim=True), weight


class Block(nn.Module):
    """A depthwise convolution over time, then a network for each frame (Liu et al., ConvNeXt, 2022)."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.time = nn.Conv1d(width, width, 7, padding=3 * dilation, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, U, C) of (B, U, C)."""
        y = self.norm(self.time(x.transpose(1, 2)).transpose(1, 2))
        return x + self.scale * self.down(F.gelu(self.up(y)))


class Network(nn.Module):
    """From the relative log-mel to the bottleneck.

    Args:
        width: Channels.
        hidden: Channels within a block.
        bottleneck: D, channels of the units.
    """

    def __init__(self, width: int = 256, hidden: int = 512, bottleneck: int = 192) -> None:
        super().__init__()
        self.stem = nn.Conv1d(N_MELS, width, 6, stride=2, padding=2)
        self.blocks = nn.ModuleList([Block(width, hidden, dilation) for dilation in _DILATIONS])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, bottleneck)

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, U, D), of mean 0 and scale 1 in every unit, of ``mel`` (B, N, 80); U = N // 2."""
        x = self.stem(mel.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        x = self.out(self.norm(x))
        return F.layer_norm(x, x.shape[-1:])


class PpgEncoder(SpeechEncoder):
    """The network and what is around it: units (192, U), around 0 in every clip.

    Unit u stands for the 20 ms around (u + 0.5) * 320 samples and hears 0.9 s to
    either side. However long a recording is, it is heard as a whole.

    Args:
        device: Where the units are computed and returned.
        weights: The file; None: the one in the repository, wherever published
            weights lie.
        dtype: Of the matrix products; units stay float32.

    Raises:
        MissingWeightsError: The repository's file is not there.
        CheckpointError: It cannot be read, is something else, or of another version.
    """

    name = "ppg-starter"
    receptive_field = 160  # half a unit
    context_seconds = 12.0  # a short slice's averages are those of the song around it

    def __init__(
        self,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        if weights is None and not WEIGHTS.is_file():
            raise MissingWeightsError(
                f"{WEIGHTS} is missing; it comes with the project: git checkout pretrain/starter, "
                "or train it with make starter"
            )
        self.network = load_network(weights or WEIGHTS).to(self.device)
        self.spectrum = Spectrum().to(self.device)
        self.ssl_dim = self.network.out.out_features

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        return [self._units(wave) for wave in waves]

    def _units(self, wave: Tensor) -> Tensor:
        n_units = (len(wave) + _HOP) // self.hop_length
        wave, step = padded(wave)[None], 2 * _CHUNK * _HOP
        starts = range(0, n_units * self.hop_length, step)
        ends = [start + step + _WINDOW - _HOP for start in starts[:-1]]
        power = torch.cat(
            [self.spectrum(wave[:, start:end]) for start, end in zip(starts, [*ends, None], strict=True)],
            dim=1,
        )
        mel, weight = relative(power)
        parts = []
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            for first in range(0, n_units, _CHUNK):
                before = max(0, first - _REACH)
                part = self.network(mel[:, 2 * before : 2 * (first + _CHUNK + _REACH) + 1])
                parts.append(part[:, first - before :][:, :_CHUNK].float())
        return centred(torch.cat(parts, dim=1), weight)[0].T.contiguous()


class Wave(nn.Module):
    """The encoder as one module, (1, 1, T) to (1, U, D), for an ONNX graph."""

    def __init__(self, encoder: PpgEncoder) -> None:
        super().__init__()
        self.network, self.spectrum = encoder.network, encoder.spectrum

    def forward(self, source: Tensor) -> Tensor:
        """Return the units of ``source``."""
        mel, weight = relative(self.spectrum(padded(source[0, 0])[None]))
        return centred(self.network(mel), weight)


def centred(units: Tensor, weight: Tensor) -> Tensor:
    """Return ``units`` (B, U, D) less their average over the voice; ``weight`` (B, N, 1) is of each frame."""
    weight = F.avg_pool1d(weight.transpose(1, 2), 2).transpose(1, 2)
    return units - (units * weight).sum(1, keepdim=True) / (weight.sum(1, keepdim=True) + _PRIOR)


def load_network(path: Path) -> Network:
    """Return the network of a file, ready for use.

    Raises:
        CheckpointError: It cannot be read, is something else, or of another version.
    """
    state = read_weights(path)
    version = state.pop("version", None)
    if not isinstance(version, Tensor) or version.numel() != 1:
        seems = appearance(path)
        raise CheckpointError(f"{path} holds no weights of ppg-starter{f'; {seems}' if seems else ''}")
    if int(version) != VERSION:
        raise CheckpointError(
            f"{path} holds version {int(version)} of ppg-starter, and this program needs version {VERSION}; "
            "take both from the same release"
        )
    network = Network()
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no ppg-starter of version {VERSION}: its tensors differ") from error
    return network.eval().requires_grad_(False)
