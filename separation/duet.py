"""Two voices at one place: the F0 of both, and what of each bin of a spectrum is the first one's.

Salience is a weighted sum of compressed magnitudes at the harmonics of a candidate (Klapuri, Multiple
fundamental frequency estimation by summing harmonic amplitudes, 2006). The first track is the most salient
path; its harmonics are then taken away, and the second is the most salient path through what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import label, uniform_filter1d

from separation.voices import VoiceTracks

LOWEST, HIGHEST = 70.0, 1100.0  # Hz
CENTS = 20.0  # between candidates
_HARMONICS = 24
_TOP = 6000.0  # Hz, above which a spectrum tells nothing of F0
_HARMONIC = 8000.0  # Hz, above which all is the first voice's
_DECAY = 0.86  # weight of a harmonic relative to the one below
_LEAP, _STEP = 0.6, 0.02  # costs of a new note, and of each candidate that a voice glides by
_MOST_STEPS = 8  # candidates that a voice glides by from one frame to the next
_VOICED = 0.2  # salience of a voice at least, relative to the loud parts
_NEAR = 80.0  # cents; the second voice is further from the first
_APART = 40.0  # Hz; harmonics of two voices that are nearer are not told apart
_LOBE = 3.0  # bins beside a harmonic that are still its own
_FLOOR = 1e-9
_REGION = 65  # frames, 1.5 s, in which there is one voice, or two
_SURE, _LIKELY = (0.063, 0.33), (0.02, 0.1)  # energy and salience of a second voice, relative to the first
_SURELY = 43  # frames, 1 s, for which a second voice is sure at least
_LOWEST_BAND, _HIGHEST_BAND, _BANDS, _CEPSTRA = 200.0, 7500.0, 26, 14  # Hz; of an envelope
_RANGE = 60.0  # dB of an envelope below its highest harmonic


@dataclass(frozen=True, eq=False)
class FoundLines:
    """Up to two F0s at a time; which is whose may change from note to note."""

    f0: np.ndarray  # (2, N), Hz, the more salient first; 0 where there is none
    levels: np.ndarray  # (2, N), dB, A-weighted: as loud as they are heard
    timbre: np.ndarray  # (2, C, N), cepstra of the envelope through the harmonics


class DuetTracker:
    """Tracks two voices in magnitudes (F, N) of an FFT of ``n_fft`` samples at ``rate`` Hz."""

    def __init__(self, rate: int, n_fft: int) -> None:
        self.bin = rate / n_fft  # Hz
        count = int(1200 * np.log2(HIGHEST / LOWEST) / CENTS) + 1
        self.candidates = LOWEST * 2 ** (np.arange(count) * CENTS / 1200)
        self.n_bins = int(_TOP / self.bin)
        places = np.arange(self.n_bins) * self.bin
        self.weights = np.zeros((count, self.n_bins), np.float32)
        for harmonic in range(1, _HARMONICS + 1):
            distance = np.abs(places[None] - harmonic * self.candidates[:, None]) / self.bin
            self.weights += _DECAY ** (harmonic - 1) * np.clip(1 - distance, 0, None)
            # a candidate an octave below has them all too: what lies between counts against it
            distance = np.abs(places[None] - (harmonic - 0.5) * self.candidates[:, None]) / self.bin
            self.weights -= 0.5 * _DECAY ** (harmonic - 1) * np.clip(1 - distance, 0, None)

    def salience(self, magnitudes: np.ndarray) -> np.ndarray:
        """Salience (K, N) of every candidate."""
        return self.weights @ np.sqrt(magnitudes[: self.n_bins])

    def track(self, magnitudes: np.ndarray) -> FoundLines:
        """The more salient voice and the other; :func:`separation.voices.by_voice` tells whose each is."""
        salience = self.salience(magnitudes)
        first = self._path(salience)
        left = np.maximum(magnitudes - self.harmonics(magnitudes, first, wide=False), 0)
        second = self._path(self.salience(left), away=first)
        second = np.where(self._is_there(magnitudes, salience, first, second), second, 0.0)
        heights = self._heights(magnitudes, first, second), self._heights(magnitudes, second, first)
        both = np.stack([first, second])
        found = [_look(own, f0) for own, f0 in zip(heights, both, strict=True)]
        levels, timbre = (np.stack(values) for values in zip(*found, strict=True))
        return FoundLines(both, levels, timbre)

    def first_share(self, magnitudes: np.ndarray, tracks: VoiceTracks) -> np.ndarray:
        """Share (F, N), 0 to 1, of the first voice in each bin: all where there is no second."""
        first, second = tracks.first, tracks.second
        ours = np.square(self.harmonics(magnitudes, first, second)) + _FLOOR
        theirs = np.square(self.harmonics(magnitudes, second, first)) + _FLOOR
        share = np.where(second > 0, ours / (ours + theirs), 1.0)
        return np.where((first == 0) & (second > 0), 0.0, share)

    def _is_there(
        self, magnitudes: np.ndarray, salience: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> np.ndarray:
        """Whether there is a second voice (N,), and not only what a gliding first one leaves."""
        left = np.maximum(magnitudes - self.harmonics(magnitudes, first), 0)
        places = np.abs(np.log2(self.candidates[:, None] / np.maximum(second, 1)[None])).argmin(0)
        frames = np.arange(len(first))
        found = (second > 0).astype(np.float64)
        of_second = np.maximum(self.salience(left)[places, frames], 0) * found
        of_first = np.maximum(salience.max(0), _FLOOR) * found
        energies = [
            np.square(self._heights(sound, f0, None)).sum(0) * found
            for sound, f0 in ((magnitudes, first), (left, second))
        ]
        smooth = [
            _REGION * uniform_filter1d(values, _REGION, mode="constant") + _FLOOR
            for values in (*energies, of_first, of_second)
        ]
        energy, heard = smooth[1] / smooth[0], smooth[3] / smooth[2]
        sung = smooth[0] > 1e-4 * smooth[0].max()
        sure, likely = (sung & (energy > least) & (heard > salient) for least, salient in (_SURE, _LIKELY))
        regions, _ = label(likely)
        return likely & (np.bincount(regions[sure], minlength=regions.max() + 1) >= _SURELY)[regions]

    def harmonics(
        self, magnitudes: np.ndarray, f0: np.ndarray, other: np.ndarray | None = None, wide: bool = True
    ) -> np.ndarray:
        """Magnitudes (F, N) of one voice alone, of its F0 (N,); ``wide`` counts how far it glides.

        Where a harmonic meets one of the ``other`` voice, its height follows from its neighbours'.
        """
        n_bins = min(len(magnitudes), int(_HARMONIC / self.bin))
        heights = self._heights(magnitudes, f0, other)
        found = np.zeros_like(magnitudes)
        if not len(heights):
            return found
        places = np.arange(n_bins, dtype=np.float32)[:, None]
        spacing = np.maximum(f0, 1.0)[None] / self.bin
        harmonic = np.clip(np.rint(places / spacing).astype(np.int64), 1, len(heights))
        glide = np.minimum(harmonic * (_spread(f0) / self.bin)[None], 0.5 * spacing) * wide
        distance = np.maximum(np.abs(places - harmonic * spacing) - glide, 0)
        height = np.take_along_axis(heights, harmonic - 1, 0)
        found[:n_bins] = np.where(distance < _LOBE, height * _hann_lobe(np.minimum(distance, _LOBE)), 0)
        return found

    def _heights(self, magnitudes: np.ndarray, f0: np.ndarray, other: np.ndarray | None) -> np.ndarray:
        """Magnitude (H, N) at each harmonic, 0 where there is none."""
        n_bins, n_frames = min(len(magnitudes), int(_HARMONIC / self.bin)), magnitudes.shape[1]
        lowest = f0[f0 > 0].min(initial=HIGHEST)
        frequency = np.arange(1, int(n_bins * self.bin / lowest) + 1)[:, None] * f0[None]
        nearest = np.rint(frequency / self.bin).astype(np.int64)
        known = (f0 > 0) & (nearest < n_bins - 1)
        around = [
            magnitudes[np.clip(nearest + step, 0, n_bins - 1), np.arange(n_frames)] for step in (-1, 0, 1)
        ]
        heights = np.where(known, np.max(around, 0), 0)
        if other is None:
            return heights
        ratio = frequency / np.maximum(other, 1)
        meets = np.abs(ratio - np.maximum(np.rint(ratio), 1)) * other < _APART
        return np.minimum(heights, _interpolated(heights, known & ~((other > 0) & meets)))

    def _path(self, salience: np.ndarray, away: np.ndarray | None = None) -> np.ndarray:
        """F0 (N,) of the most salient path, 0 where nothing is salient; not near ``away``."""
        scale = np.percentile(salience.max(0), 90) + _FLOOR
        score = salience / scale
        if away is not None:
            near = np.abs(1200 * np.log2(self.candidates[:, None] / np.maximum(away, 1)[None])) < _NEAR
            score = np.where(near, -1.0, score)
        index = _viterbi(score)
        frames = np.arange(score.shape[1])
        return np.where(score[index, frames] > _VOICED, self._refined(salience, index), 0.0)

    def _refined(self, salience: np.ndarray, index: np.ndarray) -> np.ndarray:
        """F0 (N,) between candidates, by a parabola through three of them."""
        inner, frames = index.clip(1, len(self.candidates) - 2), np.arange(len(index))
        low, middle, high = (salience[inner + step, frames] for step in (-1, 0, 1))
        bend = low - 2 * middle + high
        shift = np.where(bend < 0, 0.5 * (low - high) / np.minimum(bend, -_FLOOR), 0.0)
        return self.candidates[inner] * 2 ** (np.clip(shift, -0.5, 0.5) * CENTS / 1200)


def _look(heights: np.ndarray, f0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level (N,), dB, and cepstra (C, N) of a voice of ``heights`` (H, N) at the harmonics of ``f0`` (N,)."""
    frequency = np.arange(1, len(heights) + 1)[:, None] * f0[None]
    energies = np.square(heights * _a_weight(frequency)).sum(0)
    bands = np.linspace(_mel(_LOWEST_BAND), _mel(_HIGHEST_BAND), _BANDS)
    envelope = np.zeros((_BANDS, len(f0)))
    for frame in np.flatnonzero(energies > 0):
        known = heights[:, frame] > 0
        levels = np.log(heights[known, frame])
        levels = np.maximum(levels, levels.max() - _RANGE / 20 * np.log(10))
        envelope[:, frame] = np.interp(bands, _mel(frequency[known, frame]), levels)
    cepstra = scipy.fft.dct(envelope, axis=0, norm="ortho")[:_CEPSTRA]
    return 10 * np.log10(energies + _FLOOR**2), cepstra


def _mel(frequency: float | np.ndarray) -> np.ndarray:
    return np.asarray(1127 * np.log1p(frequency / 700))


def _a_weight(frequency: np.ndarray) -> np.ndarray:
    """Gain of the A-weighting (IEC 61672), but for a constant factor."""
    square = np.square(frequency, dtype=np.float64)
    low, middle, high, top = (corner**2 for corner in (20.6, 107.7, 737.9, 12194.0))
    return square**2 / ((square + low) * np.sqrt((square + middle) * (square + high)) * (square + top))


def _viterbi(score: np.ndarray) -> np.ndarray:
    """Most salient path (N,) of candidates through ``score`` (K, N)."""
    n_candidates, n_frames = score.shape
    best = score[:, 0].copy()
    came = np.zeros((n_frames, n_candidates), np.int32)
    steps = np.arange(-_MOST_STEPS, _MOST_STEPS + 1)
    places = np.arange(n_candidates)
    costs = _STEP * np.abs(steps)
    for frame in range(1, n_frames):
        wide = np.pad(best, _MOST_STEPS, constant_values=-np.inf)
        moved = (
            np.stack([wide[_MOST_STEPS + step : _MOST_STEPS + step + n_candidates] for step in steps])
            - costs[:, None]
        )
        choice = moved.argmax(0)
        value = moved[choice, places]
        leap = int(best.argmax())
        leaps = best[leap] - _LEAP > value
        came[frame] = np.where(leaps, leap, places + steps[choice])
        best = np.where(leaps, best[leap] - _LEAP, value) + score[:, frame]
    path = np.zeros(n_frames, np.int64)
    path[-1] = int(best.argmax())
    for frame in range(n_frames - 1, 0, -1):
        path[frame - 1] = came[frame, path[frame]]
    return path


def _spread(f0: np.ndarray) -> np.ndarray:
    """Half of how far F0 (N,), Hz, moves within a window; 0 across a leap."""
    moved = np.zeros(len(f0))
    for step in (1, 2):
        for left, right in ((slice(None, -step), slice(step, None)), (slice(step, None), slice(None, -step))):
            change = np.abs(f0[right] - f0[left])
            glides = (f0[left] > 0) & (f0[right] > 0) & (change < 0.12 * f0[left])
            moved[left] = np.maximum(moved[left], np.where(glides, change, 0))
    return moved


def _hann_lobe(distance: np.ndarray) -> np.ndarray:
    """Magnitude of a Hann window's transform, relative to its peak, ``distance`` bins beside it."""
    lobe = np.sinc(distance) + 0.5 * (np.sinc(distance - 1) + np.sinc(distance + 1))
    return np.abs(lobe)


def _interpolated(heights: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Heights (H, N), those that are not known from the nearest known ones below and above, in dB."""
    logs = np.log(np.maximum(heights, _FLOOR))
    below, above = np.full_like(logs, np.nan), np.full_like(logs, np.nan)
    n_below, n_above = np.zeros_like(logs), np.zeros_like(logs)
    for index in range(len(logs)):
        last = below[index - 1] if index else np.full(logs.shape[1], np.nan)
        count = n_below[index - 1] + 1 if index else np.ones(logs.shape[1])
        below[index] = np.where(known[index], logs[index], last)
        n_below[index] = np.where(known[index], 0, count)
    for index in reversed(range(len(logs))):
        end = index == len(logs) - 1
        last = np.full(logs.shape[1], np.nan) if end else above[index + 1]
        count = np.ones(logs.shape[1]) if end else n_above[index + 1] + 1
        above[index] = np.where(known[index], logs[index], last)
        n_above[index] = np.where(known[index], 0, count)
    share = n_below / np.maximum(n_below + n_above, 1)
    both = below * (1 - share) + above * share
    found = np.where(np.isnan(below), above, np.where(np.isnan(above), below, both))
    return np.exp(np.where(np.isnan(found), logs, found))
