"""Synthesis with WORLD's model of a voice from a log-mel, in NumPy.

WORLD (Morise, Yokomori and Ozawa 2016) describes a voice by its F0, a smooth
spectral envelope and the aperiodicity of each frequency. F0 is given, the
envelope is derived from the mel, and the aperiodicity is constant. Pulses and
noise are filtered by minimum-phase filters on the mel's frames, and one
correction reduces the difference to the mel, whose formants are raised first.
pyworld's synthesize filters every pulse instead: its scores are the same, but its
cost grows with the pitch, and it cannot be corrected on the mel's frames.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modules.common.errors import ConfigError
from modules.dsp.f0 import fill_unvoiced
from modules.dsp.mel_basis import cepstral_basis, mel_basis
from vdecoder.clock import SONG_START, SourceStart
from vdecoder.draws import source_noise

if TYPE_CHECKING:
    from modules.config import DataConfig

Array = NDArray[Any]

_FLOOR = 1e-5  # magnitude of silence in a mel, see modules/dsp/mel.py
_LOUDEST = 10.0  # ln; far above any recording, and its exp() does not overflow
_UNVOICED_WIDTH = 60.0  # Hz, smoothing in unvoiced frames
_ROLL_OFF = 0.7e-3  # ln per Hz, slope of the envelope above the last mel band
SHARPER = 0.2  # share by which a mel's cepstrum grows, see _formants
_MAX_CORRECTION = 1.0  # ln, 9 dB; more does not help, and is worse where F0 is wrong


class WorldSynthesis:
    """Pulse-and-noise synthesis from mel and F0; deterministic, without weights.

    Raises:
        ConfigError: The window is not as long as the FFT.
    """

    def __init__(self, data_config: DataConfig, sharper: float = SHARPER) -> None:
        if data_config.win_length != data_config.n_fft:
            raise ConfigError(
                f"the vocoder 'world' needs data.win_length equal to data.n_fft, "
                f"not {data_config.win_length} and {data_config.n_fft}"
            )
        self.sampling_rate, self.hop_length = data_config.sampling_rate, data_config.hop_length
        self.n_fft = data_config.n_fft
        self.basis = mel_basis(
            self.sampling_rate, self.n_fft, data_config.n_mels, data_config.f_min, data_config.f_max
        )
        self.window = np.hanning(self.n_fft + 1)[:-1].astype(np.float32)
        bins = np.arange(self.n_fft // 2 + 1)
        self._sharpening = sharper * _formants(data_config.n_mels)
        self._areas = np.log(self.basis.sum(1))  # a band value minus this is its mean magnitude
        centres = (self.basis @ bins) / self.basis.sum(1)
        self._spread = _interpolation(centres, len(bins))
        hertz = bins * (self.sampling_rate / self.n_fft)
        roll_off = -_ROLL_OFF * (hertz - hertz[-1] * (centres[-1] / bins[-1])).clip(0)
        self._roll_off = roll_off.astype(np.float32)
        # aperiodicity of voiced frames: nearly 0 below 3 kHz, 3/4 from 12 kHz on
        aperiodicity = 0.02 + 0.75 / (1 + np.exp((7500.0 - hertz) / 1500.0))
        self._aperiodicity = aperiodicity.astype(np.float32)

    def __call__(
        self, mel: Array, f0: Array, uv: Array, start: SourceStart = SONG_START
    ) -> NDArray[np.float32]:
        """Audio, see :meth:`vdecoder.base.Vocoder.synthesize`; loud mels give peaks beyond ±1."""
        target, pitch, voicing = self._tracks(mel, f0, uv)
        between = (pitch + np.append(pitch[1:], pitch[-1])) / 2  # mel frames are between F0 frames
        voiced = voicing + np.append(voicing[1:], voicing[-1]) >= 1
        smoothing = np.where(voiced, between, _UNVOICED_WIDTH) * (self.n_fft / self.sampling_rate)

        magnitude = np.exp((target - self._areas) @ self._spread + self._roll_off)
        # one F0 wide: low mel bands resolve single harmonics, this removes them
        envelope = running_mean(magnitude, smoothing)
        gain, factor = self._sharpen(envelope)
        target += gain
        magnitude *= factor
        envelope *= factor
        spectrum = self._excitation(pitch, voicing, start)
        spectrum *= minimum_phase(envelope)
        audio = self._inverse(spectrum)

        spectrum = self._forward(audio, "reflect" if len(audio) > self.n_fft // 2 else "constant")
        got = np.log((np.abs(spectrum) @ self.basis.T).clip(_FLOOR))
        missing = (target - got).clip(-_MAX_CORRECTION, _MAX_CORRECTION) @ self._spread
        # averaged over one F0 as well, so that valleys between harmonics do not attenuate peaks
        gain = running_mean(missing * magnitude, smoothing) / envelope
        spectrum *= np.exp(gain)
        return self._inverse(spectrum)

    def cycles(self, f0: Array, uv: Array) -> NDArray[np.float64]:
        """Cycles of the pulses, see :meth:`vdecoder.base.Vocoder.cycles`."""
        pitch, hop = self._pitch(f0)[0], self.hop_length
        rise = np.diff(pitch, append=pitch[-1]) * ((hop - 1) / 2)  # pitch is linear between two frames
        return np.concatenate([[0.0], np.cumsum((hop * pitch + rise) / self.sampling_rate)])

    def _tracks(self, mel: Array, f0: Array, uv: Array) -> tuple[Array, Array, Array]:
        """Bounded mel (N, M), f0 (N,) without gaps in Hz, and voicing (N,)."""
        pitch, has_pitch = self._pitch(f0)
        target = np.ascontiguousarray(mel.T, np.float32).clip(math.log(_FLOOR), _LOUDEST)
        return target, pitch, has_pitch * (uv > 0.5)

    def _sharpen(self, envelope: Array) -> tuple[Array, Array]:
        """Gains (N, M), ln, and (N, K) that sharpen the formants of an envelope at its power."""
        gain = np.log((envelope @ self.basis.T).clip(_FLOOR)) @ self._sharpening
        factor = np.exp(gain @ self._spread)
        power = np.square(envelope * factor).sum(1, keepdims=True)
        level = np.sqrt(np.square(envelope).sum(1, keepdims=True) / power)
        return gain + np.log(level), factor * level

    def _pitch(self, f0: Array) -> tuple[Array, Array]:
        """Bounded F0 (N,) without gaps, Hz, and where there was one (N,)."""
        filled, has_pitch = fill_unvoiced(f0.astype(np.float64))
        lowest = self.sampling_rate / self.n_fft  # one period per window
        return np.clip(filled.astype(np.float64), lowest, self.sampling_rate / 4), has_pitch

    def _excitation(self, pitch: Array, voicing: Array, start: SourceStart) -> Array:
        """Spectra (N, K) of the source, with a mean magnitude of 1.

        A harmonic of amplitude A has n_fft / 2 * A of magnitude, spread over one
        F0: pulses of height 1 have mean magnitude 1. White noise of variance s2
        has Rayleigh magnitudes with mean square 3 pi / 32 * n_fft * s2.
        """
        n_samples = len(pitch) * self.hop_length
        clock = np.arange(n_samples) / self.hop_length
        frames = np.arange(len(pitch))
        # frame i covers half a hop on either side; a fade over a third of a hop between frames
        gate = np.clip(3 * np.interp(clock, frames, voicing) - 1, 0, 1)
        rate = np.interp(clock, frames, pitch) / self.sampling_rate
        pulses = (pulse_train(rate, start.phase) * gate).astype(np.float32)
        noise = source_noise(start, len(pitch), self.hop_length)
        noise *= np.float32(math.sqrt(32 / (3 * math.pi * self.n_fft)))
        voiced_noise = noise * gate.astype(np.float32)
        spectrum = self._forward(pulses)
        spectrum *= np.sqrt(1 - np.square(self._aperiodicity))
        spectrum += self._forward(voiced_noise) * self._aperiodicity
        spectrum += self._forward(noise - voiced_noise)
        return spectrum

    def _forward(self, audio: Array, padding: Any = "constant") -> Array:
        """Spectra (N, K) of audio (N * hop_length,) on the mel's frames."""
        pad = (self.n_fft - self.hop_length) // 2
        padded = np.pad(audio, (pad, self.n_fft - self.hop_length - pad), mode=padding)
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop_length]
        spectrum: Array = np.fft.rfft(frames * self.window)
        return spectrum

    def _inverse(self, spectrum: Array) -> NDArray[np.float32]:
        """Audio (N * hop_length,) whose spectra are closest to (N, K), by least squares."""
        n_samples = len(spectrum) * self.hop_length
        frames = np.fft.irfft(spectrum)
        frames *= self.window
        audio = overlap_add(frames, self.hop_length)
        square = np.broadcast_to(np.square(self.window), frames.shape)
        weight = overlap_add(square, self.hop_length)
        pad = (self.n_fft - self.hop_length) // 2
        return (audio / weight.clip(1e-3))[pad : pad + n_samples]


def _formants(n_mels: int) -> NDArray[np.float32]:
    """Matrix (M, M): from a log-mel (N, M) to the part that is its formants.

    Averaging over one F0 flattens them, and a model's uncertainty flattens what it predicts. To raise them is
    the post-filter of Yoshimura et al., Incorporating a mixed excitation model and postfiltering into
    HMM-based text-to-speech synthesis (2005). What is finer than two bands is noise, and stays.
    """
    formants = cepstral_basis(n_mels, range(2, n_mels // 2))  # without level and tilt
    return formants.T @ formants  # type: ignore[no-any-return]


def _interpolation(centres: Array, n_bins: int) -> NDArray[np.float32]:
    """Matrix (M, K) of linear interpolation between values at ``centres``, constant outside."""
    eye = np.eye(len(centres))
    return np.stack([np.interp(np.arange(n_bins), centres, row) for row in eye]).astype(np.float32)


def overlap_add(frames: Array, hop_length: int) -> Array:
    """Sum (T,) of frames (N, L), each ``hop_length`` samples after the one before."""
    n_frames, length = frames.shape
    n_hops = -(-length // hop_length)
    total = np.zeros((n_frames + n_hops - 1, hop_length), frames.dtype)
    for hop in range(n_hops):
        block = frames[:, hop * hop_length : (hop + 1) * hop_length]
        total[hop : hop + n_frames, : block.shape[1]] += block
    return total.ravel()


def running_mean(values: Array, width: Array) -> NDArray[np.float32]:
    """Mean of (N, K) over ``width`` (N,) columns around each, mirrored at the ends."""
    n_columns = values.shape[1]
    half = width.astype(np.float64).clip(1, n_columns / 2) / 2
    pad = int(half.max()) + 2
    mirrored = np.pad(values, ((0, 0), (pad, pad)), mode="reflect")
    # float64: quiet columns are differences of large sums
    sums = np.zeros((len(values), mirrored.shape[1] + 1))
    np.cumsum(mirrored, axis=1, dtype=np.float64, out=sums[:, 1:])
    views = np.lib.stride_tricks.sliding_window_view(sums, n_columns + 1, axis=1)
    rows = np.arange(len(values))

    def up_to(column: Array) -> Array:
        whole = column.astype(np.int64)
        row: Array = views[rows, whole]
        step = np.diff(row)
        step *= (column - whole)[:, None]
        step += row[:, :-1]
        return step

    centre = pad + 0.5
    mean = up_to(centre + half)
    mean -= up_to(centre - half)
    mean /= (2 * half)[:, None]
    return mean.astype(np.float32)


def minimum_phase(magnitude: Array) -> Array:
    """Minimum-phase spectra (N, K) of positive magnitudes (N, K), by the cepstrum."""
    cepstrum = np.fft.irfft(np.log(magnitude))
    half = cepstrum.shape[1] // 2
    cepstrum[:, 1:half] *= 2
    cepstrum[:, half + 1 :] = 0
    phase = np.fft.rfft(cepstrum).imag
    spectrum = np.empty(phase.shape, np.result_type(phase, np.complex64))
    spectrum.real, spectrum.imag = np.cos(phase), np.sin(phase)
    spectrum *= magnitude
    return spectrum


def pulse_train(rate: Array, phase: float = 0.0) -> Array:
    """Band-limited unit pulses (T,), ``rate`` (T,) of them per sample, from a ``phase`` in cycles on.

    Pulses are between samples, where the phase (float64, to avoid drift) passes
    an integer; rounding them to samples would make the tone rough.
    """
    total = phase + np.cumsum(rate)
    cycles = np.floor(total)
    before = np.flatnonzero(cycles[1:] > cycles[:-1])
    fraction = (cycles[before + 1] - total[before]) / rate[before + 1]
    reach = 8  # samples: flat up to 16 kHz at 44.1 kHz
    offsets = np.arange(1 - reach, reach + 1)
    distance = offsets - fraction[:, None]
    shape = np.sinc(distance) * np.cos(np.pi * distance / (2 * reach)) ** 2
    places = before[:, None] + offsets + reach
    return np.bincount(places.ravel(), shape.ravel(), len(rate) + 2 * reach)[reach : reach + len(rate)]
