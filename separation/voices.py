"""Whose F0 each of two is: the voices of a duet told apart over a whole song.

A voice keeps its timbre and its level from note to note, and moves by small steps. So each voice is a
Gaussian of the envelope through its harmonics, both with one covariance; the most likely path gives every
frame's F0s to the voices, the Gaussians are fitted to it, and so on (Viterbi training: Juang and Rabiner,
The segmental K-means algorithm, 1990). The ranges of the voices are not asked, for they mislead where two
voices share one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

_ROUNDS = 8  # of fitting and deciding, at most
_FRAMES = 12.0  # that tell as much as one, since neighbours are alike
_SHRINK = 0.05  # share of the covariance that is its diagonal alone
_SLOPE, _KNEE, _FAR = 1.0, 2.0, 0.3  # costs: by semitone of a small step; of a leap, and by its semitones
_SWAP = 0.5  # cost where lines change voices
_ALONE = 43  # frames, 1 s, around a frame in which two voices are heard nowhere together
_FEW = 20  # frames of both voices; fewer tell nothing


@dataclass(frozen=True, eq=False)
class VoiceTracks:
    """F0 of up to two voices, Hz, 0 where there is none."""

    first: np.ndarray  # (N,)
    second: np.ndarray  # (N,)


def by_voice(lines: np.ndarray, levels: np.ndarray, timbre: np.ndarray) -> VoiceTracks:
    """Give the F0s ``lines`` (2, N), Hz, of each frame to two voices.

    The louder one is the first, and so is whoever sings alone for more than two seconds.
    ``levels`` (2, N) are loudnesses, dB, and ``timbre`` (2, C, N) cepstra of the envelope of both lines, the
    first of which is its height.
    """
    both = (lines > 0).all(0)
    if np.count_nonzero(both) < _FEW:
        return VoiceTracks(*lines)
    alone = ~maximum_filter1d(both, 2 * _ALONE + 1)
    swapped = np.zeros(len(alone), bool)
    swapped[~alone] = _swapped(lines[:, ~alone], levels[:, ~alone], timbre[..., ~alone])
    tracks, loud = (np.where(swapped, values[::-1], values) for values in (lines, levels))
    energies = (10 ** (loud[:, both] / 10)).sum(1)
    first, second = tracks if energies[0] >= energies[1] else tracks[::-1]
    return VoiceTracks(np.where(alone, lines.max(0), first), np.where(alone, 0.0, second))


def _swapped(lines: np.ndarray, levels: np.ndarray, timbre: np.ndarray) -> np.ndarray:
    """Whether the first voice is the second line (N,), whichever voice that is."""
    there = lines > 0
    notes = 12 * np.log2(np.where(there, lines, np.nan))
    found = (_trained(timbre, notes, there, guess) for guess in _guesses(levels, notes, there))
    return min(found, key=lambda result: result[1])[0]


def _guesses(levels: np.ndarray, notes: np.ndarray, there: np.ndarray) -> Iterator[np.ndarray]:
    """Costs (2, N) of both states to begin with: none, by level, and by height."""
    yield np.zeros(notes.shape)
    for values in (levels, notes):
        seen = values[there]
        along = np.where(there, (values - seen.mean()) / (seen.std() + 1e-9), 0.0)
        yield np.stack([along[1] - along[0], along[0] - along[1]]) / _FRAMES


def _trained(
    timbre: np.ndarray, notes: np.ndarray, there: np.ndarray, costs: np.ndarray
) -> tuple[np.ndarray, float]:
    """Whether the lines of each frame are swapped (N,), and what that costs, beginning with ``costs``."""
    swapped, total = _path(costs, notes)
    for _ in range(_ROUNDS):
        new, total = _path(_costs(timbre, there, swapped), notes)
        if (new == swapped).all():
            break
        swapped = new
    return swapped, total


def _costs(timbre: np.ndarray, there: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    """Costs (2, N) of both states, as they are and swapped, of Gaussians that fit ``swapped`` (N,)."""
    voices = []
    for voice in (0, 1):
        mine = [there[line] & (swapped == (line != voice)) for line in (0, 1)]
        voices.append(np.concatenate([timbre[line][:, mine[line]] for line in (0, 1)], 1))
    everything = np.concatenate(voices, 1)
    middles = [(voice if voice.size else everything).mean(1, keepdims=True) for voice in voices]
    apart = np.concatenate([voice - middle for voice, middle in zip(voices, middles, strict=True)], 1)
    spread = apart @ apart.T / apart.shape[1]
    spread = (1 - _SHRINK) * spread + _SHRINK * np.diag(np.diag(spread)) + 1e-6 * np.eye(len(spread))
    inverse, size = np.linalg.inv(spread), np.linalg.slogdet(spread)[1]
    cost = np.empty((2, *there.shape))  # voice, line, frame
    for voice, middle in enumerate(middles):
        off = timbre - middle
        cost[voice] = (np.einsum("lcn,cd,ldn->ln", off, inverse, off, optimize=True) + size) / 2 * there
    return np.stack([cost[0, 0] + cost[1, 1], cost[0, 1] + cost[1, 0]]) / _FRAMES


def _path(costs: np.ndarray, notes: np.ndarray) -> tuple[np.ndarray, float]:
    """Cheapest states (N,), whether the lines are swapped, and their cost.

    ``notes`` (2, N) are in semitones, NaN where there is none; a voice moves from the last one that it
    has sung on the way to a state.
    """
    lines = notes.T.tolist()
    best = costs[:, 0].tolist()
    sung = [list(lines[0]), lines[0][::-1]]  # last notes of both voices, by state
    came = np.zeros((len(lines), 2), bool)
    for frame, (line, own) in enumerate(zip(lines[1:], costs.T[1:].tolist(), strict=True), 1):
        new_best, new_sung = [0.0, 0.0], [sung[0], sung[1]]
        for state, here in enumerate((line, line[::-1])):
            ways = [
                best[before] + _SWAP * (before != state) + _moved(sung[before], here) for before in (0, 1)
            ]
            before = int(ways[1] < ways[0])
            came[frame, state] = before
            new_best[state] = ways[before] + own[state]
            new_sung[state] = [
                old if note != note else note for old, note in zip(sung[before], here, strict=True)
            ]
        best, sung = new_best, new_sung
    states = np.zeros(len(lines), bool)
    states[-1] = best[1] < best[0]
    for frame in range(len(lines) - 1, 0, -1):
        states[frame - 1] = came[frame, int(states[frame])]
    return states, min(best)


def _moved(before: list[float], here: list[float]) -> float:
    """Cost of the steps of both voices; none where one does not sing, or has not yet."""
    total = 0.0
    for old, new in zip(before, here, strict=True):
        step = abs(new - old)
        if step == step:
            total += min(_SLOPE * step, _KNEE + _FAR * step)
    return total
