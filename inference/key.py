"""The key in which a song fits the range of a target speaker.

A speaker sounds like themselves only in the range that the model was trained
on. The best key change for a cover is a whole octave, since everything else is
out of key with the accompaniment.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modules.common.errors import ConfigError
from modules.dsp.f0 import F0_MAX, F0_MIN, WHISPERED, transpose

LOWEST, HIGHEST = 32.7, 2200.0  # Hz, C1 and above C7: what is tracked at most
OCTAVE_BONUS = 1.0  # semitones that a whole octave may lie further outside than the best shift
_WIDEST = 36  # semitones, the largest shift considered
_NAMED = 0.2  # s beyond the range of the models; less is not worth a word

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyAdvice:
    """A better key for a song that lies outside the range of its target speaker."""

    semitones: int  # the key change that would fit, -36 to 36
    song_range: tuple[float, float]  # 5th and 95th percentile of the song in the key of the conversion, Hz
    trained_range: tuple[float, float]  # the same of the speaker's training recordings, Hz


@dataclass(frozen=True)
class KeyChoice:
    """A key that was chosen for a song, and why."""

    semitones: int
    song: tuple[float, float, float]  # 5th, 50th and 95th percentile of the song's own pitch, Hz
    trained: tuple[float, float, float]  # the same of the speaker's training recordings

    def reason(self, speaker: str) -> str:
        """The reason, in words."""
        song, trained = (
            f"{low:.0f}–{high:.0f} Hz around {middle:.0f}" for low, middle, high in (self.song, self.trained)
        )
        where = "in the accompaniment's key" if self.semitones % 12 == 0 else "no octave fits as well"
        return f"the song lies at {song}, {speaker} was trained on {trained}; {where}"


def choose_key(
    f0: np.ndarray, f0_range: Sequence[float] | None, speaker: str, octaves: bool = False
) -> KeyChoice:
    """Key of :func:`suggest_key` for a song of pitch ``f0`` (N,), with its reason.

    Raises:
        ConfigError: The range of the speaker is not known.
    """
    known = check_range(f0_range, speaker)
    voiced = _voiced(f0)
    low, middle, high = np.percentile(voiced, [5, 50, 95]).tolist() if len(voiced) else (0.0, 0.0, 0.0)
    floor, centre, ceiling = map(float, known)
    return KeyChoice(suggest_key(f0, known, octaves), (low, middle, high), (floor, centre, ceiling))


def check_range(f0_range: Sequence[float] | None, speaker: str) -> Sequence[float]:
    """The range of a speaker, if it is known; raises ConfigError if not."""
    if f0_range is None:
        raise ConfigError(
            f"-t auto: the model's configuration has no f0_range for {speaker}; give the key in semitones"
        )
    return f0_range


def tracking_range(key: float, sampling_rate: int) -> tuple[float, float]:
    """Range, Hz, in which to track a song that is then shifted by ``key`` semitones.

    It reaches down to 50 Hz before the shift and after it, and up as far as anybody sings.
    """
    lowest = max(LOWEST, F0_MIN / 2.0 ** (key / 12.0))
    return min(F0_MIN, lowest), min(HIGHEST, 0.49 * sampling_rate)


def name_extremes(song: object, f0: np.ndarray, uv: np.ndarray, key: float, frame_rate: float) -> None:
    """Warn of a song that has hardly any pitch, or of what of it lies beyond the range of the models.

    ``f0`` and ``uv`` (N,) are the song's own, in Hz and 1 = voiced; ``frame_rate`` is in Hz.
    """
    voiced = _voiced(f0 * uv)
    if len(voiced) < WHISPERED * len(f0):
        logger.warning(
            "%s: %.0f %% of it is voiced: whispered, or too soft for the F0 predictor; no key is advised",
            song,
            100 * len(voiced) / max(1, len(f0)),
        )
        return
    shifted = transpose(voiced, key)
    for name, found in (("below", shifted[shifted < F0_MIN]), ("above", shifted[shifted > F0_MAX])):
        if len(found) >= _NAMED * frame_rate:
            limit, extreme = (F0_MIN, found.min()) if name == "below" else (F0_MAX, found.max())
            logger.warning(
                "%s: %.1f s lie %s %.0f Hz in this key (-t %g), as far as %.0f Hz: voice models know no "
                "such notes",
                song,
                len(found) / frame_rate,
                name,
                limit,
                key,
                extreme,
            )


def suggest_key(f0: np.ndarray, f0_range: Sequence[float], octaves: bool = False) -> int:
    """Key change, -36 to 36 semitones, that brings a song into a speaker's range.

    ``f0`` (N,) is its pitch, Hz; unvoiced frames (0, NaN) are left out. If less than a twentieth
    is voiced, it is whispered and the key is 0. ``f0_range`` holds the 5th, 50th and 95th percentile of the
    training recordings, Hz. The song's central range (5th to 95th percentile, in semitones)
    and its median are compared with the trained ones. A shift's misfit is how far the
    shifted central range exceeds the trained one, both ends added, plus how far its
    median lies outside.

    1. The smallest whole octave, 0 first, that brings the median inside and whose
       misfit is at most 1 semitone above the least that any shift has.
    2. If there is none, the smallest shift with the least misfit.

    With ``octaves`` no other shifts are considered.
    """
    voiced = _voiced(f0)
    if len(voiced) <= WHISPERED * len(f0):
        return 0
    low, middle, high = 12 * np.log2(np.percentile(voiced, [5, 50, 95]))
    floor, _, ceiling = 12 * np.log2(f0_range)

    def outside(note: float) -> float:
        return max(floor - note, note - ceiling, 0.0)

    def misfit(key: int) -> float:
        ends = max(floor - (low + key), 0.0) + max(high + key - ceiling, 0.0)
        return ends + outside(middle + key)

    shifts = sorted(range(-_WIDEST, _WIDEST + 1, 12 if octaves else 1), key=abs)
    least = min(misfit(key) for key in shifts)
    for key in shifts:
        if key % 12 == 0 and misfit(key) <= least + OCTAVE_BONUS and outside(middle + key) == 0:
            return key
    return next(key for key in shifts if misfit(key) <= least + 1e-9)


def key_advice(f0: np.ndarray, f0_range: Sequence[float], key: float) -> KeyAdvice | None:
    """Advice for a song that, shifted by ``key``, lies outside a speaker's range; None if it does not.

    F0 (N,) is the song's own, in Hz, and ``f0_range``: as of :func:`suggest_key`.
    """
    voiced = _voiced(f0)
    shifted = transpose(voiced, key)
    better = suggest_key(f0, f0_range)
    if len(voiced) <= WHISPERED * len(f0) or better == key or suggest_key(shifted, f0_range) == 0:
        return None
    low, high = np.percentile(shifted, [5, 95])
    return KeyAdvice(better, (float(low), float(high)), (float(f0_range[0]), float(f0_range[2])))


def _voiced(f0: np.ndarray) -> np.ndarray:
    f0 = np.asarray(f0, np.float64)
    return f0[np.isfinite(f0) & (f0 > 0)]
