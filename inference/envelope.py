"""The loudness of the source, laid over the result: its crescendos and its quiet lines.

A model sings at the level of its training clips. As in the published project,
levels over half a second are compared, blended from one to the next, and a
strength between 0 and 1 says whose wins. Here the window moves sample by sample,
so nothing depends on where a slice begins, and the division by the level of a
rest, which made noise loud, is bounded.
"""

from __future__ import annotations

import numpy as np

WINDOW = 0.5  # s, what a level is measured over: a syllable or two
ENVELOPE_MARGIN = WINDOW  # s; the sound at this distance decides over a sample, and nothing beyond
FLOOR = 1e-4  # RMS, -80 dBFS: what is softer counts as this; two silences leave each other alone
HIGHEST_GAIN = 16.0  # 24 dB, far more than two recordings of one melody differ by


def envelope_gain(source: np.ndarray, result: np.ndarray, sampling_rate: int, strength: float) -> np.ndarray:
    """Return what to multiply ``result`` with so that its loudness follows ``source``.

    The gain is (level of the source / level of the result) ^ (1 - strength).
    Both recordings may be parts of a song: the gains are then those of the whole
    song but for their first and last ``ENVELOPE_MARGIN`` s. Outside of what is given
    counts as silence.

    Args:
        source: (T,), full scale ±1.
        result: (T,), the same moments in the other voice.
        sampling_rate: Hz, of both.
        strength: 1: the result's own envelope; 0: the source's.

    Returns:
        (T,), float32, 0 to 16, without jumps.
    """
    if strength == 1:
        return np.ones(len(result), np.float32)
    ratio = _level(source, sampling_rate) / _level(result, sampling_rate)
    return (np.minimum(ratio, HIGHEST_GAIN) ** (1 - strength)).astype(np.float32)


def _level(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return the RMS (T,) around each sample, ``FLOOR`` or more.

    The mean over half a second of means over half a second: sound then enters
    the window softly, where a single mean would jump at the end of a rest.
    """
    half = int(WINDOW / 2 * sampling_rate)
    power = np.pad(np.square(audio, dtype=np.float64), 2 * half)
    return np.sqrt(np.maximum(_moving_mean(_moving_mean(power, half), half), FLOOR**2))


def _moving_mean(x: np.ndarray, half: int) -> np.ndarray:
    """Return (T - 2 * half,): the means of ``x`` (T,) over ``2 * half + 1`` values."""
    sums = np.concatenate([[0.0], np.cumsum(x)])
    width = 2 * half + 1
    return (sums[width:] - sums[:-width]) / width
