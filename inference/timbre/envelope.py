"""Loudness envelope of the source, applied to the result.

A model renders at the level of its training clips. As in the published project,
levels over half a second are compared, and a strength between 0 and 1 weighs
them. Here the window moves sample by sample, so nothing depends on where a slice
begins, and the division by the level of silence, which made noise loud, is bounded.
"""

from __future__ import annotations

import numpy as np

WINDOW = 0.5  # s, what a level is measured over: a syllable or two
ENVELOPE_MARGIN = WINDOW  # s; audio further away does not change the gain of a sample
FLOOR = 1e-4  # RMS, -80 dBFS: what is softer counts as this, so two silences have gain 1
HIGHEST_GAIN = 16.0  # 24 dB, far more than two recordings of one melody differ by


def envelope_gain(source: np.ndarray, result: np.ndarray, sampling_rate: int, strength: float) -> np.ndarray:
    """Gain of ``result`` with which its loudness follows ``source``.

    The gain is (level of the source / level of the result) ^ (1 - strength): a
    strength of 1 keeps the result's own envelope, 0 gives it the source's. Both (T,), full
    scale ±1, may be parts of a recording: the gains (T,), float32, 0 to 16, without jumps,
    are then those of the whole but for the first and last ``ENVELOPE_MARGIN`` s. Outside
    counts as silence.
    """
    if strength == 1:
        return np.ones(len(result), np.float32)
    ratio = _level(source, sampling_rate) / _level(result, sampling_rate)
    return (np.minimum(ratio, HIGHEST_GAIN) ** (1 - strength)).astype(np.float32)


def _level(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """RMS (T,) around each sample, ``FLOOR`` or more.

    The mean over half a second of means over half a second: sound then enters
    the window softly, where a single mean would jump where silence ends.
    """
    half = int(WINDOW / 2 * sampling_rate)
    power = np.pad(np.square(audio, dtype=np.float64), 2 * half)
    return np.sqrt(np.maximum(_moving_mean(_moving_mean(power, half), half), FLOOR**2))


def _moving_mean(x: np.ndarray, half: int) -> np.ndarray:
    """Means (T - 2 * half,) of ``x`` (T,) over ``2 * half + 1`` values."""
    sums = np.concatenate([[0.0], np.cumsum(x)])
    width = 2 * half + 1
    return (sums[width:] - sums[:-width]) / width
