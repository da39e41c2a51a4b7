"""What is heard where the song rests: hum, hiss and breath that a model made up."""

from __future__ import annotations

import numpy as np

from evaluation.conversions import Score, Take
from evaluation.evaluators.base import Judge

FRAME = 0.02  # s
DEPTH = 40.0  # dB below the singing: a frame of the source so quiet rests
GUARD = 3  # frames on both sides of a sound that belong to it: windows of analysis reach so far
LOWEST = -120.0  # dB; digital silence


def levels(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return the RMS level of every whole 20 ms of ``audio`` (T,), dB, at least -120."""
    length = round(FRAME * sampling_rate)
    frames = audio[: len(audio) // length * length].reshape(-1, length).astype(np.float64)
    return 10 * np.log10(np.maximum(np.square(frames).mean(1), 10 ** (LOWEST / 10)))


def rests(level: np.ndarray) -> np.ndarray:
    """Return which frames (F,) rest: those and their neighbours lie 40 dB below the singing."""
    if len(level) == 0:
        return np.zeros(0, bool)
    sounds = level > _singing(level) - DEPTH
    return ~(np.convolve(sounds, np.ones(2 * GUARD + 1), "same") > 0)


def leak(audio: np.ndarray, resting: np.ndarray, sampling_rate: int) -> float:
    """Return the level of ``audio`` (T,) where the source rests, dB above that of its singing.

    Args:
        audio: Samples on the clock of the source.
        resting: (F,), from :func:`rests` of the source.
        sampling_rate: Hz.

    Returns:
        dB, below 0 if all is well; NaN if the source never rests, or ``audio`` is silent.
    """
    level = levels(audio, sampling_rate)
    n = min(len(level), len(resting))
    level, resting = level[:n], resting[:n]
    if not resting.any() or level.max() <= LOWEST:
        return float("nan")
    power = np.mean(10 ** (level[resting] / 10))
    return float(max(10 * np.log10(power) - _singing(level), LOWEST))


def _singing(level: np.ndarray) -> float:
    """Return how loud the singing is: the level that 5 % of the frames lie above, dB."""
    return float(np.percentile(level, 95))


class Silence(Judge):
    """How loud the rests of the song have become."""

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "silence_leak"."""
        source, rate = take.song.audio, take.song.sampling_rate
        resting = rests(levels(source, rate))
        return {"silence_leak": Score(leak(take.audio, resting, rate), leak(source, resting, rate))}
