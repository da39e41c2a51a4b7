"""Clicks: places where a sound jumps, at the joins of slices and elsewhere.

A jump is a peak that stands alone. The second difference of the samples lets
little but sharpness through; 2 ms of it whose peak stands 8 dB above all peaks of
the 24 ms before and after count as a click. The pulses of a voice do not, since
they come in rows, but the release of a consonant may: so the numbers of the
source stand beside those of the result, at the same places.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.conversions import Score, Take
from evaluation.evaluators.base import Judge

BLOCK = 0.002  # s
AROUND = 12  # blocks on either side that a peak is measured against; voices pulse more often
THRESHOLD = 8.0  # dB above them
FLOOR = 1e-3  # of full scale; a peak that is less than 8 dB above it is no click, whatever is around it


def find_clicks(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return which whole blocks (F,) of 2 ms of ``audio`` (T,) hold a click."""
    length = max(2, round(BLOCK * sampling_rate))
    jumps = np.concatenate([np.zeros(2), np.diff(audio.astype(np.float64), 2)])  # one for each sample
    peaks = np.abs(jumps[: len(jumps) // length * length]).reshape(-1, length).max(1)
    padded = np.pad(peaks, AROUND + 1)
    highest = np.lib.stride_tricks.sliding_window_view(padded, AROUND).max(1)
    n = len(peaks)  # the blocks next to a peak may have a part of it
    around = np.maximum(highest[:n], highest[AROUND + 3 : AROUND + 3 + n])
    return peaks > np.maximum(around, FLOOR) * 10 ** (THRESHOLD / 20)


def count_clicks(
    audio: np.ndarray, joins: Sequence[tuple[int, int]], sampling_rate: int
) -> tuple[float, float]:
    """Return clicks per join, and those elsewhere per minute.

    Args:
        audio: (T,), samples.
        joins: First and last sample of each join; a join has a click or has none,
            up to 2 ms beside it too.
        sampling_rate: Hz.

    Returns:
        The first is NaN without joins, the second for a sound of less than 2 ms.
    """
    clicks = find_clicks(audio, sampling_rate)
    length = max(2, round(BLOCK * sampling_rate))
    at_join = np.zeros(len(clicks), bool)
    clicking = 0
    for first, last in joins:
        here = slice(max(0, first // length - 1), last // length + 2)
        clicking += bool(clicks[here].any())
        at_join[here] = True
    minutes = len(clicks) * length / sampling_rate / 60
    elsewhere = float((clicks & ~at_join).sum() / minutes) if minutes else float("nan")
    return (clicking / len(joins) if joins else float("nan")), elsewhere


class Clicks(Judge):
    """Jumps where slices were joined, and in between."""

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "clicks_at_seams" and "clicks_elsewhere"."""
        rate = take.song.sampling_rate
        made, before = (count_clicks(audio, take.joins, rate) for audio in (take.audio, take.song.audio))
        return {
            "clicks_at_seams": Score(made[0], before[0]),
            "clicks_elsewhere": Score(made[1], before[1]),
        }
