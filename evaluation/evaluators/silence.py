"""Leakage in silences: hum, hiss and breath that a model adds where the source is silent."""

from __future__ import annotations

import numpy as np

from evaluation.conversions import NAN, SourceSong
from evaluation.evaluators.base import ReferencedEvaluator

FRAME = 0.02  # s
DEPTH = 40.0  # dB below the singing at which a frame of the source is silent
GUARD = 3  # frames on both sides of a sound that count as sound: the reach of analysis windows
MIN_LEVEL = -120.0  # dB; digital silence


def frame_levels(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """RMS level of every whole 20 ms of ``audio`` (T,), (F,) in dB, at least -120."""
    length = round(FRAME * sampling_rate)
    frames = audio[: len(audio) // length * length].reshape(-1, length).astype(np.float64)
    return 10 * np.log10(np.maximum(np.square(frames).mean(1), 10 ** (MIN_LEVEL / 10)))


def find_silence(levels: np.ndarray) -> np.ndarray:
    """Whether frames (F,) are silent: they and their neighbours are 40 dB below the singing."""
    if len(levels) == 0:
        return np.zeros(0, bool)
    sounds = levels > _singing_level(levels) - DEPTH
    return ~(np.convolve(sounds, np.ones(2 * GUARD + 1), "same") > 0)


def leakage(audio: np.ndarray, silent: np.ndarray, sampling_rate: int) -> float:
    """Level of ``audio`` (T,) in the silences of the source, relative to its singing.

    Args:
        audio: Samples, time-aligned with the source.
        silent: (F,), from :func:`find_silence` of the source.
        sampling_rate: Hz.

    Returns:
        dB, normally below 0; NaN if the source has no silence, or ``audio`` is silent.
    """
    levels = frame_levels(audio, sampling_rate)
    n = min(len(levels), len(silent))
    levels, silent = levels[:n], silent[:n]
    if not silent.any() or levels.max() <= MIN_LEVEL:
        return NAN
    power = np.mean(10 ** (levels[silent] / 10))
    return float(max(10 * np.log10(power) - _singing_level(levels), MIN_LEVEL))


def _singing_level(levels: np.ndarray) -> float:
    """Level of the singing, dB: the 95th percentile of the frames."""
    return float(np.percentile(levels, 95))


class SilenceLeakage(ReferencedEvaluator):
    """Level of a conversion in the silences of the song."""

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Number "silence_leak"."""
        silent = find_silence(frame_levels(song.audio, song.sampling_rate))
        return {"silence_leak": leakage(audio, silent, song.sampling_rate)}
