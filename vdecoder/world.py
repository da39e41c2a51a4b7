"""A vocoder that needs no training: WORLD's model of a voice, driven by a log-mel.

WORLD (Morise, Yokomori and Ozawa 2016) describes a voice by its F0, a smooth
spectral envelope and the share of noise at each frequency. F0 is given, the
envelope is read off the mel and the share of noise is a fixed guess. Pulses and
noise then pass through minimum-phase filters on the mel's own frames, and one
correction brings the result closer to the mel. WORLD's synthesis filters every
pulse instead: it scores the same, but its cost grows with the pitch.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modules.errors import ConfigError
from modules.f0 import fill_unvoiced
from modules.mel import FLOOR, LogMel
from vdecoder.base import Vocoder

if TYPE_CHECKING:
    from modules.config import DataConfig

_LOUDEST = 10.0  # ln; far above any recording, and exp() of it is still harmless
_UNVOICED_WIDTH = 60.0  # Hz, smoothing where there is no F0
_ROLL_OFF = 0.7e-3  # ln per Hz, fall of the envelope above the last mel band
_STRONGEST_CORRECTION = 1.0  # ln, 9 dB; more is no better, and worse where F0 is wrong


class WorldVocoder(Vocoder):
    """Pulse-and-noise synthesis from mel and F0; deterministic, without weights.

    Args:
        data_config: The analysis settings of the mel.
        device: Where the audio is put. The work is done on the CPU, where it
            takes about a fiftieth of the sound's duration.
        weights: Must be None; there is nothing to load.
        dtype: Of no effect; the work is done in float32 and float64.

    Raises:
        ConfigError: The window is not as long as the FFT, or weights are given.
    """

    def __init__(
        self,
        data_config: DataConfig,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(data_config, device, weights, dtype)
        if weights is not None:
            raise ConfigError(f"the vocoder 'world' has no weights; {weights} belongs to another vocoder")
        if data_config.win_length != data_config.n_fft:
            raise ConfigError(
                f"the vocoder 'world' needs data.win_length equal to data.n_fft, "
                f"not {data_config.win_length} and {data_config.n_fft}"
            )
        self.n_fft = data_config.n_fft
        mel = LogMel.from_config(data_config)
        self.basis, self.window = mel.mel_basis, mel.window
        bins = torch.arange(self.n_fft // 2 + 1)
        self._areas = self.basis.sum(1).log()  # a band value minus this is its mean magnitude
        centres = (self.basis @ bins.float()) / self.basis.sum(1)
        self._spread = _interpolation(centres.double().numpy(), len(bins))
        hertz = bins * (self.sampling_rate / self.n_fft)
        self._roll_off = -_ROLL_OFF * (hertz - hertz[-1] * (centres[-1] / bins[-1])).clamp(min=0)
        # share of noise in the amplitude of a voiced frame: nearly none below 3 kHz, 3/4 from 12 kHz on
        self._noisiness = 0.02 + 0.75 * torch.sigmoid((hertz - 7500.0) / 1500.0)

    def _synthesize(self, mel: Tensor, f0: Tensor, uv: Tensor) -> Tensor:
        """Return the sound; loud mels give peaks beyond ±1."""
        target, pitch, voicing = self._tracks(mel, f0, uv)
        between = (pitch + np.append(pitch[1:], pitch[-1])) / 2  # mel frames lie between F0 frames
        voiced = voicing + np.append(voicing[1:], voicing[-1]) >= 1
        width = np.where(voiced, between, _UNVOICED_WIDTH) * (self.n_fft / self.sampling_rate)
        smoothing = torch.from_numpy(width)

        magnitude = ((target - self._areas) @ self._spread + self._roll_off).exp()
        # one F0 wide: low bands are narrow enough to show single harmonics, this removes them
        envelope = running_mean(magnitude, smoothing)
        spectrum = self._excitation(pitch, voicing) * minimum_phase(envelope)
        audio = self._inverse(spectrum)

        spectrum = self._forward(audio, "reflect" if len(audio) > self.n_fft // 2 else "constant")
        got = (spectrum.abs() @ self.basis.mT).clamp(min=FLOOR).log()
        missing = (target - got).clamp(-_STRONGEST_CORRECTION, _STRONGEST_CORRECTION) @ self._spread
        # averaged over one F0 as well, so that valleys between harmonics are not stamped onto peaks
        gain = running_mean(missing * magnitude, smoothing) / envelope
        return self._inverse(spectrum * gain.exp()).to(self.device)

    def _tracks(self, mel: Tensor, f0: Tensor, uv: Tensor) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Return mel (N, M) within bounds, f0 (N,) without gaps in Hz, and voicing (N,)."""
        pitch, has_pitch = fill_unvoiced(f0.detach().cpu().double().numpy())
        lowest = self.sampling_rate / self.n_fft  # one period per window: below it there is no harmonic
        pitch = np.clip(pitch.astype(np.float64), lowest, self.sampling_rate / 4)
        target = mel.detach().cpu().float().clamp(math.log(FLOOR), _LOUDEST).mT.contiguous()
        return target, pitch, has_pitch * (uv.detach().cpu().numpy() > 0.5)

    def _excitation(self, pitch: np.ndarray, voicing: np.ndarray) -> Tensor:
        """Return the spectra (N, K) of the source, flat as the mel's mean magnitude sees it.

        A harmonic of amplitude A fills n_fft / 2 * A of magnitude, spread over
        one F0: pulses of height 1 have mean magnitude 1. White noise of variance
        s2 has Rayleigh magnitudes with mean square 3 pi / 32 * n_fft * s2.
        """
        n_samples = len(pitch) * self.hop_length
        clock = np.arange(n_samples) / self.hop_length
        frames = np.arange(len(pitch))
        # frame i owns the half hop on either side; a fade over a third of a hop between owners
        gate = np.clip(3 * np.interp(clock, frames, voicing) - 1, 0, 1)
        pulses = pulse_train(np.interp(clock, frames, pitch) / self.sampling_rate) * gate
        noise = torch.randn(n_samples, generator=torch.Generator().manual_seed(0))
        noise = noise * math.sqrt(32 / (3 * math.pi * self.n_fft))
        voiced_noise = noise * torch.from_numpy(gate).float()
        return (
            self._forward(torch.from_numpy(pulses).float()) * (1 - self._noisiness**2).sqrt()
            + self._forward(voiced_noise) * self._noisiness
            + self._forward(noise - voiced_noise)
        )

    def _forward(self, audio: Tensor, padding: str = "constant") -> Tensor:
        """Return the spectra (N, K) of audio (N * hop_length,) on the mel's frames."""
        pad = (self.n_fft - self.hop_length) // 2
        padded = F.pad(audio[None], (pad, self.n_fft - self.hop_length - pad), mode=padding)[0]
        return torch.stft(
            padded, self.n_fft, self.hop_length, window=self.window, center=False, return_complex=True
        ).mT

    def _inverse(self, spectrum: Tensor) -> Tensor:
        """Return the audio (N * hop_length,) whose spectra are closest to (N, K)."""
        n_samples = len(spectrum) * self.hop_length
        audio = overlap_add(torch.fft.irfft(spectrum) * self.window, self.hop_length)
        weight = overlap_add(self.window.square().expand(len(spectrum), -1), self.hop_length)
        pad = (self.n_fft - self.hop_length) // 2
        return (audio / weight.clamp(min=1e-3))[pad : pad + n_samples]


def _interpolation(centres: np.ndarray, n_bins: int) -> Tensor:
    """Return (M, K) that draws straight lines between values at ``centres``, flat outside."""
    eye = np.eye(len(centres))
    return torch.from_numpy(np.stack([np.interp(np.arange(n_bins), centres, row) for row in eye])).float()


def overlap_add(frames: Tensor, hop_length: int) -> Tensor:
    """Return the sum (T,) of frames (N, L), each ``hop_length`` samples after the last.

    torch's fold does the same and takes half of the whole synthesis.
    """
    n_frames, length = frames.shape
    n_hops = -(-length // hop_length)
    blocks = F.pad(frames, (0, n_hops * hop_length - length)).view(n_frames, n_hops, hop_length)
    total = frames.new_zeros(n_frames + n_hops - 1, hop_length)
    for hop in range(n_hops):
        total[hop : hop + n_frames] += blocks[:, hop]
    return total.flatten()


def running_mean(values: Tensor, width: Tensor) -> Tensor:
    """Return the mean of (N, K) over ``width`` (N,) columns around each, mirrored at the ends."""
    n_rows, n_columns = values.shape
    half = width.double().clamp(1, n_columns / 2) / 2
    pad = int(half.max()) + 2
    mirrored = F.pad(values[None], (pad, pad), mode="reflect")[0]
    # float64: quiet columns must survive the difference of two large sums
    sums = F.pad(mirrored.double().cumsum(1), (1, 0)).unfold(1, n_columns + 1, 1)
    rows = torch.arange(n_rows)

    def up_to(column: Tensor) -> Tensor:
        whole = column.long()
        row = sums[rows, whole]
        return torch.lerp(row[:, :-1], row[:, 1:], (column - whole)[:, None])

    centre = pad + 0.5
    return ((up_to(centre + half) - up_to(centre - half)) / (2 * half)[:, None]).float()


def minimum_phase(magnitude: Tensor) -> Tensor:
    """Return the spectra (N, K) of these positive magnitudes whose energy comes earliest."""
    cepstrum = torch.fft.irfft(magnitude.log())
    half = cepstrum.shape[1] // 2
    cepstrum[:, 1:half] *= 2
    cepstrum[:, half + 1 :] = 0
    return torch.polar(magnitude, torch.fft.rfft(cepstrum).imag)


def pulse_train(rate: np.ndarray) -> np.ndarray:
    """Return band-limited unit pulses (T,), ``rate`` (T,) of them per sample.

    Pulses lie between samples, where the phase (float64: a long song must not
    drift) passes a whole number; rounding them to samples would roughen the tone.
    """
    phase = np.cumsum(rate)
    cycles = np.floor(phase)
    before = np.flatnonzero(cycles[1:] > cycles[:-1])
    fraction = (cycles[before + 1] - phase[before]) / rate[before + 1]
    reach = 8  # samples: flat up to 16 kHz at 44.1 kHz
    offsets = np.arange(1 - reach, reach + 1)
    distance = offsets - fraction[:, None]
    shape = np.sinc(distance) * np.cos(np.pi * distance / (2 * reach)) ** 2
    places = before[:, None] + offsets + reach
    return np.bincount(places.ravel(), shape.ravel(), len(rate) + 2 * reach)[reach : reach + len(rate)]
