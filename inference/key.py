"""The key in which a song fits the range of a target speaker.

A speaker sounds like themselves only in the range that the model was trained
on. The best key change for a cover is a whole octave, since everything else is
out of key with the accompaniment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modules.dsp.f0 import transpose

OCTAVE_BONUS = 1.0  # semitones that a whole octave may lie further outside than the best shift
_WIDEST = 36  # semitones, the largest shift considered


@dataclass(frozen=True)
class KeyAdvice:
    """A better key for a song that lies outside the range of its target speaker."""

    semitones: int  # the key change that would fit, -36 to 36
    song_range: tuple[float, float]  # 5th and 95th percentile of the song in the key of the conversion, Hz
    trained_range: tuple[float, float]  # the same of the speaker's training recordings, Hz


def suggest_key(f0: np.ndarray, f0_range: Sequence[float]) -> int:
    """Key change, -36 to 36 semitones, that brings a song into a speaker's range.

    ``f0`` (V,) is the pitch of its voiced frames, Hz; others (0, NaN) are left out, and
    without any the key is 0. ``f0_range`` holds the 5th, 50th and 95th percentile of the
    training recordings, Hz. The song's central range (5th to 95th percentile, in semitones)
    and its median are compared with the trained ones. A shift's misfit is how far the
    shifted central range exceeds the trained one, both ends added, plus how far its
    median lies outside.

    1. The smallest whole octave, 0 first, that brings the median inside and whose
       misfit is at most 1 semitone above the least that any shift has.
    2. If there is none, the smallest shift with the least misfit.
    """
    voiced = _voiced(f0)
    if len(voiced) == 0:
        return 0
    low, middle, high = 12 * np.log2(np.percentile(voiced, [5, 50, 95]))
    floor, _, ceiling = 12 * np.log2(f0_range)

    def outside(note: float) -> float:
        return max(floor - note, note - ceiling, 0.0)

    def misfit(key: int) -> float:
        ends = max(floor - (low + key), 0.0) + max(high + key - ceiling, 0.0)
        return ends + outside(middle + key)

    shifts = sorted(range(-_WIDEST, _WIDEST + 1), key=abs)
    least = min(misfit(key) for key in shifts)
    for key in shifts:
        if key % 12 == 0 and misfit(key) <= least + OCTAVE_BONUS and outside(middle + key) == 0:
            return key
    return next(key for key in shifts if misfit(key) <= least + 1e-9)


def key_advice(f0: np.ndarray, f0_range: Sequence[float], key: float) -> KeyAdvice | None:
    """Advice for a song that, shifted by ``key``, lies outside a speaker's range; None if it does not.

    F0 (V,) is the song's own, in Hz; ``f0_range`` as of :func:`suggest_key`.
    """
    voiced = _voiced(f0)
    shifted = transpose(voiced, key)
    better = suggest_key(voiced, f0_range)
    if better == key or suggest_key(shifted, f0_range) == 0:
        return None
    low, high = np.percentile(shifted, [5, 95])
    return KeyAdvice(better, (float(low), float(high)), (float(f0_range[0]), float(f0_range[2])))


def _voiced(f0: np.ndarray) -> np.ndarray:
    f0 = np.asarray(f0, np.float64)
    return f0[np.isfinite(f0) & (f0 > 0)]
