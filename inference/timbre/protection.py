"""Protection of what has no pitch: breaths, voiceless consonants, whisper and vocal fry.

A model renders them in the target's voice, often too soft or with a buzz; in the source they are
right. There the source's own sound is laid in, at the level of the result.
"""

from __future__ import annotations

import numpy as np

from modules.dsp.f0 import WHISPERED, fill_unvoiced
from modules.dsp.semitones import runs, to_semitones

FADE = 0.012  # s, between a protected sound and its neighbours
HIGHEST_GAIN = 8.0  # 18 dB
_BRIEF = 0.06  # s; a shorter voiced stretch among unvoiced frames is a tracker's error in noise
_FRY = 75.0  # Hz; below it, and far below the song, single pulses are heard, not a pitch
_FAR = 9.0  # semitones below the median of the slice


def drop_unpitched(f0: np.ndarray, uv: np.ndarray, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """F0 and uv (N,) of a slice in which whisper and vocal fry are unvoiced; gaps are filled again.

    Whisper: less than 5 % of the slice is voiced, or a stretch lasts less than 60 ms. Fry: the pitch
    is under 75 Hz and 9 semitones below the slice's median.
    """
    voiced = uv > 0
    if voiced.mean() < WHISPERED:
        return fill_unvoiced(np.zeros(len(f0)))
    pitch = to_semitones(f0)
    fry = voiced & (f0 < _FRY) & (pitch < np.median(pitch[voiced]) - _FAR)
    kept = voiced & ~fry
    for start, stop in runs(kept):
        if stop - start < _BRIEF * frame_rate:
            kept[start:stop] = False
    return fill_unvoiced(np.where(kept, f0, 0.0)) if (kept != voiced).any() else (f0, uv)


def keep_unvoiced(
    result: np.ndarray,
    source: np.ndarray,
    uv: np.ndarray,
    hop_length: int,
    sampling_rate: int,
    strength: float,
) -> np.ndarray:
    """``result`` (T,) with the unvoiced sounds of ``source`` (T,) laid in.

    uv (N,), T = N · hop, is 1 where voiced; frame i is at sample i · hop. ``strength`` is the share of
    amplitude that is the source's, 0 to 1: its level is that of the result by what is voiced in both.
    """
    length = len(result)
    nearest = uv[np.minimum((np.arange(length) + hop_length // 2) // hop_length, len(uv) - 1)]
    fade = max(1, round(FADE * sampling_rate))
    kernel = np.hanning(fade + 2)[1:-1]
    mask = np.convolve(
        np.pad((nearest < 0.5).astype(np.float64), fade, "edge"), kernel / kernel.sum(), "same"
    )
    share = strength * mask[fade : fade + length].clip(0, 1)
    voiced = nearest > 0.5
    heard = voiced if voiced.any() else np.ones(length, bool)
    levels = [np.sqrt(np.square(x[heard], dtype=np.float64).mean()) for x in (result, source)]
    gain = min(HIGHEST_GAIN, levels[0] / levels[1]) if levels[1] > 0 else 1.0
    kept = np.sqrt(np.maximum(0.0, 1 - np.square(share)))  # both are noise: their powers add up
    return (result * kept + source * (gain * share)).astype(np.float32)
