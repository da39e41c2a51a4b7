"""Expression: the pitch curve and the loudness of a score.

Slow signals are on a grid of 1 ms. Between two points of the grid the pitch is by
definition a straight line in Hz, so the ground truth of tests and the synthesised
phase are the same function.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import convolve1d

from synthetic_voice.score import MusicScore, generator
from synthetic_voice.singers import SyntheticSinger

GRID_RATE = 1000  # points per second
SCOOP = 60.0  # cents below the note at which a phrase starts
SCOOP_SECONDS = 0.05
DRIFT = 6.0  # cents, slow drift of the pitch
LOUDNESS_SPREAD = 2.0  # dB between one note and the next
ARC = 4.0  # dB by which the middle of a phrase is louder than its ends


def grid_times(seconds: float) -> np.ndarray:
    """Times in s of the grid that covers ``seconds``."""
    return np.arange(int(np.ceil(seconds * GRID_RATE)) + 1) / GRID_RATE


def smooth(values: np.ndarray, seconds: float) -> np.ndarray:
    """``values`` (grid first) smoothed by a Hann kernel of ``seconds``."""
    kernel = _hann(seconds)
    return convolve1d(values, kernel / kernel.sum(), axis=0, mode="nearest")


def _hann(seconds: float) -> np.ndarray:
    return np.hanning(2 * round(seconds * GRID_RATE / 2) + 3)[1:-1]


def pitch_curve(score: MusicScore, style: SyntheticSinger, seed: int) -> np.ndarray:
    """F0 in Hz on the grid, also through rests and consonants.

    Notes are joined by portamento; a phrase starts with a scoop; long notes
    get vibrato after a delay; drift and jitter come on top.
    """
    times = grid_times(score.seconds)
    rng = generator(seed, 1)
    drift = _wander(len(times), 0.6, rng) * DRIFT + _wander(len(times), 0.012, rng) * style.jitter
    if not score.notes:
        return np.full(len(times), 220.0) * 2 ** (drift / 1200)
    # a glide begins before the new vowel, within the consonants
    changes = np.array([note.start - 0.3 * style.portamento for note in score.notes])
    current = np.clip(np.searchsorted(changes, times, side="right") - 1, 0, None)
    pitch = smooth(np.array([note.pitch for note in score.notes])[current], style.portamento)
    cents = drift
    for phrase in score.phrases:
        inside = (times >= phrase[0].start - 0.3) & (times <= phrase[-1].end)
        cents[inside] -= SCOOP * np.exp(-np.maximum(times[inside] - phrase[0].start, 0) / SCOOP_SECONDS)
    depth, rate = np.zeros(len(times)), np.full(len(times), style.vibrato_rate)
    for note in score.notes:
        deep, quick = rng.uniform(0.8, 1.2), rng.uniform(0.94, 1.06)
        steady = (times >= note.start + style.vibrato_delay) & (times < note.end)
        depth[steady] = deep * style.vibrato_depth
        rate[(times >= note.start) & (times < note.end)] *= quick
    phase = 2 * np.pi * np.cumsum(smooth(rate, 0.1)) / GRID_RATE
    cents = smooth(cents, 0.004) + smooth(depth, 0.2) * np.sin(phase)
    return 440 * 2 ** ((pitch - 69) / 12 + cents / 1200)


def loudness_curve(score: MusicScore, style: SyntheticSinger, seed: int) -> np.ndarray:
    """Loudness of the voice in dB on the grid: notes, phrase arcs, shimmer."""
    times = grid_times(score.seconds)
    rng = generator(seed, 2)
    level = np.zeros(len(times))
    for phrase in score.phrases:
        start, end = phrase[0].start, phrase[-1].end
        for note in phrase:
            inside = (times >= note.start) & (times < note.end)
            level[inside] = rng.normal(0, LOUDNESS_SPREAD)
        inside = (times >= start) & (times < end)
        level[inside] += ARC * (np.sin(np.pi * (times[inside] - start) / (end - start)) - 0.6)
    return smooth(level, 0.15) + style.shimmer * _wander(len(times), 0.012, rng)


def _wander(count: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit deviation that changes over about ``seconds``."""
    white = rng.standard_normal(count)
    kernel = _hann(seconds)
    return convolve1d(white, kernel / np.sqrt((kernel**2).sum()), mode="wrap")
