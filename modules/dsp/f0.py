"""Fundamental frequency: its scales, its gaps and its frame times.

Predictors, training, the flow and the vocoder share these: the 256 bins that the
text encoder embeds, the log scale of automatic F0 prediction, interpolation through
unvoiced frames, and the time of a frame (frame i at ``i * hop_length /
sampling_rate`` seconds). Throughout, ``uv`` is 1 where a frame is *voiced*, as
in the published project.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

F0_MIN = 50.0  # Hz, centre of bin 1
F0_MAX = 1100.0  # Hz, centre of bin 255
F0_BINS = 256  # embedding rows; row 0 is never used
WHISPERED = 0.05  # share of voiced frames; with less, what is voiced is a tracker's error
# s, up to which a leap of an octave is an error: there and back, and at either end of a note
_EXCURSION, _ONSET = 0.12, 0.06
_LEAP = 600.0  # cents between two frames; beyond, it is a new note or an octave error, not a glide
BRIEFEST = 0.1  # s, of a pitch beyond F0_MIN to F0_MAX; consonants give shorter ones

Track = TypeVar("Track", "np.ndarray", "torch.Tensor")


def _hz_to_mel(hz: float) -> float:
    return 1127.0 * math.log1p(hz / 700.0)


_BINS_PER_MEL = (F0_BINS - 2) / (_hz_to_mel(F0_MAX) - _hz_to_mel(F0_MIN))
_FIRST_MEL = _hz_to_mel(F0_MIN)


def f0_to_coarse(f0: torch.Tensor) -> torch.Tensor:
    """Mel-spaced bin, int64 1 to 255, of F0 (Hz, any shape), as the published project embeds it.

    0, negative values and NaN are bin 1; everything above the range is bin 255, where
    the published code wraps, from 1103.5 Hz on, to 0, a row that is hardly ever trained.
    """
    mel = 1127.0 * (f0.clamp(min=0) / 700.0).log1p()
    bins = ((mel - _FIRST_MEL) * _BINS_PER_MEL + 1.0).round().clamp(1, F0_BINS - 1)
    return bins.where(mel > 0, 1.0).long()


def hz_to_lf0(f0: torch.Tensor) -> torch.Tensor:
    """F0 (Hz, any shape) on the published log scale: 0 Hz is 0, 1100 Hz about 2.1."""
    return 2595.0 * (1.0 + f0 / 700.0).log10() / 500.0


def lf0_to_hz(lf0: torch.Tensor) -> torch.Tensor:
    """Invert :func:`hz_to_lf0`."""
    return 700.0 * (10.0 ** (lf0 * 500.0 / 2595.0) - 1.0)


def normalize_lf0(
    lf0: torch.Tensor, mask: torch.Tensor, uv: torch.Tensor, factor: torch.Tensor | None = None
) -> torch.Tensor:
    """Subtract each item's mean over its voiced frames: the melody without its register.

    An item without a voiced frame has mean 0. NaN stays in its item and reaches the
    loss, where the training loop reports it; the published project exits on NaN.

    ``lf0`` (B, 1, N) is from :func:`hz_to_lf0`, ``mask`` (B, 1, N) 1 on real frames, and ``uv``
    (B, N) 1 where voiced and 0 past the end of an item. ``factor`` (B,) stretches the deviation
    from the mean (training draws it from 0.8 to 1.2). The result is 0 outside the mask.
    """
    voiced = uv.unsqueeze(1)
    mean = (lf0 * voiced).sum(2, keepdim=True) / voiced.sum(2, keepdim=True).clamp(min=1)
    deviation = lf0 - mean
    if factor is not None:
        deviation = deviation * factor.view(-1, 1, 1)
    return deviation * mask


def transpose(f0: Track, semitones: float) -> Track:
    """``f0`` (Hz, any shape) shifted by ``semitones``; 0 stays 0."""
    return f0 * 2.0 ** (float(semitones) / 12.0)  # a numpy number would make float32 float64


def repair_octaves(f0: np.ndarray, frame_rate: float) -> np.ndarray:
    """``f0`` (N,), Hz, 0 or NaN where unvoiced, without a tracker's brief octave errors.

    Frames between a leap of an octave (within a semitone) and the leap back, up to 120 ms later,
    are moved by that octave, and so are up to 60 ms between a leap and the end of a note.
    Nobody sings these. A slower leap is music and stays. ``frame_rate`` is in Hz.
    """
    voiced = np.isfinite(f0) & (f0 > 0)
    step = np.diff(12.0 * np.log2(np.where(voiced, f0, 1.0)))
    leaps = np.abs(np.abs(step) - 12.0) < 1.0
    leaps &= voiced[1:] & voiced[:-1]
    if not leaps.any():
        return f0
    f0 = f0.copy()
    ends = np.flatnonzero(np.diff(voiced.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    for start, stop in ends.tolist():
        marks = [start, *(np.flatnonzero(leaps[start : stop - 1]) + start + 1).tolist(), stop]
        _repair_note(f0, marks, [math.copysign(1.0, step[mark - 1]) for mark in marks[1:-1]], frame_rate)
    return f0


def _repair_note(f0: np.ndarray, marks: list[int], signs: list[float], frame_rate: float) -> None:
    """Repair one voiced stretch of ``f0``, in place; ``marks`` are its ends and, between, its leaps."""
    excursion, onset = int(_EXCURSION * frame_rate), int(_ONSET * frame_rate)
    index = 0
    while index + 1 < len(signs):
        there, back = marks[index + 1], marks[index + 2]
        if back - there <= excursion and signs[index] == -signs[index + 1]:
            f0[there:back] *= 2.0 ** -signs[index]
            del marks[index + 1 : index + 3], signs[index : index + 2]
        else:
            index += 1
    if signs and marks[1] - marks[0] <= onset < marks[2] - marks[1]:
        f0[marks[0] : marks[1]] *= 2.0 ** signs[0]
        del marks[1], signs[0]
    if signs and marks[-1] - marks[-2] <= onset < marks[-2] - marks[-3]:
        f0[marks[-2] : marks[-1]] *= 2.0 ** -signs[-1]


def drop_brief_extremes(f0: np.ndarray, frame_rate: float) -> np.ndarray:
    """``f0`` (N,), Hz, 0 or NaN where unvoiced, without what lies beyond 50 to 1100 Hz for under 100 ms."""
    beyond = (f0 > F0_MAX) | ((f0 > 0) & (f0 < F0_MIN))
    runs = np.flatnonzero(np.diff(beyond.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    f0 = f0.copy()
    for start, stop in runs.tolist():
        if stop - start < BRIEFEST * frame_rate:
            f0[start:stop] = 0.0
    return f0


def interpolate(track: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate a track (L,), Hz, 0 where unvoiced.

    Voicing is that of the nearest frame. Between two voiced frames the pitch is
    linear in cents, except across a leap, where it is the nearest frame's.
    ``positions`` (N,) are in frames, from 0; past the end the last frame is repeated.
    """
    before = np.minimum(positions.astype(np.int64), len(track) - 1)
    after = np.minimum(before + 1, len(track) - 1)
    share = (positions - before).clip(0, 1)
    first, second = track[before], track[after]
    nearest = np.where(share < 0.5, first, second)
    both = (first > 0) & (second > 0)
    interval = np.log2(np.where(both, second, 1.0) / np.where(both, first, 1.0))
    glide = both & (np.abs(interval) < _LEAP / 1200)
    return np.where(glide, first * 2 ** (share * interval), nearest)


def fill_unvoiced(f0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill the unvoiced frames of ``f0`` (N,), Hz: linear in Hz, constant at the ends.

    A frame that is not a positive frequency (0, NaN) is unvoiced.

    Returns:
        Two new float32 arrays (N,): the filled F0 in Hz (zeros when
        nothing is voiced) and uv, 1 where ``f0`` was voiced.
    """
    voiced = np.flatnonzero((f0 > 0) & np.isfinite(f0))
    uv = np.zeros(len(f0), np.float32)
    uv[voiced] = 1.0
    if len(voiced) == 0:
        return np.zeros(len(f0), np.float32), uv
    return np.interp(np.arange(len(f0)), voiced, f0[voiced]).astype(np.float32), uv


def raw_pitch_accuracy(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Share, 0–1, of voiced reference frames whose estimate lies within 50 cents (Poliner et al., 2007).

    Both are F0 in Hz, 0 where unvoiced, (N,) and (N',); frames beyond the shorter one are left
    out. NaN when the reference is never voiced. mir_eval has it too, and evaluation uses that;
    training needs neither its import (scipy) nor its time axes.
    """
    n = min(len(reference), len(estimate))
    voiced = reference[:n] > 0
    if not voiced.any():
        return float("nan")
    true, found = reference[:n][voiced], np.maximum(estimate[:n][voiced], 1e-3)
    return float(np.mean(np.abs(1200 * np.log2(found / true)) <= 50))
