"""The lead among voices: what stands where the vocals stand, and of two voices there the louder.

Centre against sides comes first; where two F0s are left at one place, each bin of the spectrum is shared by
what the harmonics of both explain of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
import scipy.signal

from modules.dsp.blocks import Samples, blended, spans
from separation.base import RATE
from separation.duet import DuetTracker
from separation.voices import VoiceTracks, by_voice

N_FFT, HOP = 4096, 1024
_STEP, _MARGIN, _FADE = 1290 * HOP, 86 * HOP, 2 * HOP  # samples; windows of 30 s on the grid of frames
_BESIDE, _THERE = 0.75, 0.95  # share of a bin's energy that stands at a place: nothing of it, all of it
_EPS = 1e-12


class LeadSplitter:
    """Splits vocals (T, 2) at ``RATE`` whose lead stands at ``pan`` (2,), factors of left and right."""

    def __init__(self, vocals: Samples, pan: np.ndarray) -> None:
        self._vocals, self._pan = vocals, pan.astype(np.float32)
        self._tracker = DuetTracker(RATE, N_FFT)
        self.tracks = self._track()

    def lead(self) -> Iterator[np.ndarray]:
        """Yield the lead, mono, in blocks (T, 1)."""
        frames = iter([read.start // HOP for read, _ in spans(len(self._vocals), _STEP, _MARGIN)])
        return blended(self._vocals, _STEP, _MARGIN, _FADE, lambda window: self._split(window, next(frames)))

    def _track(self) -> VoiceTracks:
        """F0s of the whole song."""
        found: list[tuple[np.ndarray, ...]] = []
        for read, keep in spans(len(self._vocals), _STEP, _MARGIN):
            lines = self._tracker.track(np.abs(self._spectrum(self._vocals[read])))
            n_frames = -(-(keep.stop - keep.start) // HOP)
            kept = slice(keep.start // HOP, keep.start // HOP + n_frames)
            parts = lines.f0, lines.levels, lines.timbre
            found.append(tuple(values[..., kept] for values in parts))
        if not found:
            return VoiceTracks(np.zeros(0), np.zeros(0))
        return by_voice(*(np.concatenate(values, -1) for values in zip(*found, strict=True)))

    def _split(self, window: np.ndarray, frame: int) -> np.ndarray:
        spectrum = self._spectrum(window)
        n_frames = spectrum.shape[1]
        tracks = (
            np.pad(track[frame : frame + n_frames], (0, max(0, frame + n_frames - len(track))))
            for track in (self.tracks.first, self.tracks.second)
        )
        both = VoiceTracks(*tracks)
        if both.second.any():
            spectrum = spectrum * self._tracker.first_share(np.abs(spectrum), both)
        return _istft(spectrum, len(window))[:, None]

    def _spectrum(self, window: np.ndarray) -> np.ndarray:
        """Spectrum (F, N), complex64, of what of a window (T, 2) stands at the place."""
        left, right = _stft(window[:, 0]), _stft(window[:, 1])
        there: np.ndarray = (left * self._pan[0] + right * self._pan[1]) / 2
        energy = np.square(np.abs(left)) + np.square(np.abs(right))
        share = (2 * np.square(np.abs(there)) + _EPS) / (energy + _EPS)
        return there * np.clip((share - _BESIDE) / (_THERE - _BESIDE), 0, 1).astype(np.float32)


def _stft(audio: np.ndarray) -> np.ndarray:
    """Spectrum (F, N) of ``audio`` (T,); frame i is centred at i hops."""
    padded = np.pad(audio.astype(np.float32), N_FFT // 2)
    padded = np.pad(padded, (0, -(len(padded) - N_FFT) % HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return scipy.fft.rfft(frames * _window(), axis=1).T


def _istft(spectrum: np.ndarray, length: int) -> np.ndarray:
    """Audio (T,), of ``length``, of a spectrum (F, N)."""
    window, n_frames = _window(), spectrum.shape[1]
    frames = scipy.fft.irfft(spectrum.T, N_FFT, axis=1).astype(np.float32) * window
    size = (n_frames - 1) * HOP + N_FFT
    audio, weight = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for index, frame in enumerate(frames):
        audio[index * HOP : index * HOP + N_FFT] += frame
        weight[index * HOP : index * HOP + N_FFT] += np.square(window)
    start = N_FFT // 2
    return audio[start : start + length] / np.maximum(weight[start : start + length], 1e-3)


def _window() -> np.ndarray:
    window: np.ndarray = scipy.signal.get_window("hann", N_FFT)
    return window.astype(np.float32)
