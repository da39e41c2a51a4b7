"""Clicks: discontinuities of a sound, at the crossfades of slices and elsewhere.

The second difference of the samples suppresses all but sharp edges; 2 ms of it
whose peak is 8 dB above all peaks of the 24 ms before and after count as a click.
Glottal pulses do not, since they repeat, but the release of a consonant may: so
the numbers of the source at the same places are given too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.conversions import NAN, Conversion, EvalScore
from evaluation.evaluators.base import Evaluator

FRAME = 0.002  # s
CONTEXT = 12  # frames on either side that a peak is compared with; longer than a pitch period
THRESHOLD = 8.0  # dB above them
FLOOR = 1e-3  # of full scale; a peak must be 8 dB above it too


def find_clicks(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Whether each whole frame of 2 ms of ``audio`` (T,) holds a click, (F,)."""
    length = max(2, round(FRAME * sampling_rate))
    jumps = np.concatenate([np.zeros(2), np.diff(audio.astype(np.float64), 2)])  # one for each sample
    peaks = np.abs(jumps[: len(jumps) // length * length]).reshape(-1, length).max(1)
    padded = np.pad(peaks, CONTEXT + 1)
    highest = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT).max(1)
    n = len(peaks)  # the frames next to a peak may have a part of it
    around = np.maximum(highest[:n], highest[CONTEXT + 3 : CONTEXT + 3 + n])
    return peaks > np.maximum(around, FLOOR) * 10 ** (THRESHOLD / 20)


def count_clicks(
    audio: np.ndarray, joins: Sequence[tuple[int, int]], sampling_rate: int
) -> tuple[float, float]:
    """Clicks per join, and clicks elsewhere per minute.

    Args:
        audio: (T,).
        joins: First and last sample of each join; a join has one click or none,
            which may be up to 2 ms beside it.
        sampling_rate: Hz.

    Returns:
        The first is NaN without joins, the second for a sound of less than 2 ms.
    """
    clicks = find_clicks(audio, sampling_rate)
    length = max(2, round(FRAME * sampling_rate))
    at_join = np.zeros(len(clicks), bool)
    n_clicking = 0
    for first, last in joins:
        here = slice(max(0, first // length - 1), last // length + 2)
        n_clicking += bool(clicks[here].any())
        at_join[here] = True
    minutes = len(clicks) * length / sampling_rate / 60
    elsewhere = float((clicks & ~at_join).sum() / minutes) if minutes else NAN
    return (n_clicking / len(joins) if joins else NAN), elsewhere


class Clicks(Evaluator):
    """Clicks where slices were joined, and in between."""

    def evaluate(self, conversion: Conversion) -> dict[str, EvalScore]:
        """Scores "clicks_at_seams" and "clicks_elsewhere"."""
        joins, rate = conversion.joins, conversion.sampling_rate
        at_joins, elsewhere = count_clicks(conversion.audio, joins, rate)
        reference = count_clicks(conversion.song.audio, joins, rate)
        return {
            "clicks_at_seams": EvalScore(at_joins, reference[0]),
            "clicks_elsewhere": EvalScore(elsewhere, reference[1]),
        }
