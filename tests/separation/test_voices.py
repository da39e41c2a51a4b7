"""Two F0s at a time, given to voices: by what they sound like, not by which is higher."""

import numpy as np

from separation.voices import by_voice

FRAMES = 43  # per second


def duet(seconds: int = 20):
    """Two voices that cross in one range: F0, levels and timbre of both, (2, ...), noisy as vowels are."""
    rng = np.random.default_rng(0)
    n_frames = seconds * FRAMES
    steps = rng.integers(-5, 6, (2, n_frames // 20 + 1)).repeat(20, 1)[:, :n_frames]
    f0 = 220 * 2 ** (steps / 12)
    f0[1] *= np.where(np.abs(steps[0] - steps[1]) < 2, 2 ** (3 / 12), 1.0)  # they are never one note
    levels = np.array([[-20.0], [-24.0]]) + rng.normal(0, 3, (2, n_frames))
    vowels = rng.normal(0, 1, (2, 6, n_frames // 10 + 1)).repeat(10, 2)[..., :n_frames]
    timbre = vowels + np.array([[1.5], [-1.5]])[:, None] * np.array([1, 1, 0, 0, 0, 0])[:, None]
    return f0, levels, timbre


def jumbled(values: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    return np.where(swapped, values[::-1], values)


def jumble(f0: np.ndarray) -> np.ndarray:
    """Which of the two is found first: the higher one, mostly."""
    return (f0[1] > f0[0]) ^ (np.arange(f0.shape[1]) // 37 % 5 == 0)


def test_voices_that_cross_in_one_range_keep_their_melodies():
    f0, levels, timbre = duet()
    tracks = by_voice(*(jumbled(values, jumble(f0)) for values in (f0, levels, timbre)))
    assert (tracks.first == f0[0]).mean() > 0.95 and (tracks.second == f0[1]).mean() > 0.95


def test_who_sings_alone_is_the_lead():
    f0, levels, timbre = duet(12)
    alone = np.arange(f0.shape[1]) > 8 * FRAMES
    f0[0, alone] = 0  # the softer voice goes on without the other
    tracks = by_voice(f0, levels, timbre)
    later = slice(9 * FRAMES + 1, None)
    assert (tracks.first[later] == f0[1, later]).all() and not tracks.second[later].any()


def test_one_voice_and_none():
    f0, levels, timbre = duet(2)
    f0[1] = 0
    tracks = by_voice(f0, levels, timbre)
    assert (tracks.first == f0[0]).all() and not tracks.second.any()
    nothing = by_voice(np.zeros((2, 0)), np.zeros((2, 0)), np.zeros((2, 6, 0)))
    assert len(nothing.first) == len(nothing.second) == 0
