"""A pitch curve in semitones, its voiced stretches, and its slow course without vibrato."""

from __future__ import annotations

import numpy as np

A4 = 69.0  # MIDI number of 440 Hz


def to_semitones(f0: np.ndarray) -> np.ndarray:
    """MIDI numbers (N,), float64, of ``f0`` (N,), Hz; NaN where it is unvoiced (0 or NaN)."""
    f0 = np.nan_to_num(np.asarray(f0, np.float64))
    with np.errstate(divide="ignore"):
        return np.where(f0 > 0, A4 + 12 * np.log2(f0 / 440.0), np.nan)


def to_hz(pitch: np.ndarray) -> np.ndarray:
    """Invert :func:`to_semitones`: float32, 0 where NaN."""
    return np.nan_to_num(440.0 * 2.0 ** ((pitch - A4) / 12.0)).astype(np.float32)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last (excluded) index of each stretch of ``mask`` (N,) that is true."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return [(start, stop) for start, stop in edges.tolist()]


def smooth(values: np.ndarray, seconds: float, frame_rate: float) -> np.ndarray:
    """Mean of ``values`` (L,) under a Hann window of ``seconds``, which is cut off at the ends."""
    half = max(1, round(seconds * frame_rate / 2))
    kernel = np.hanning(2 * half + 3)[1:-1]
    total = np.convolve(np.pad(values, half), kernel, "valid")
    weight = np.convolve(np.pad(np.ones(len(values)), half), kernel, "valid")
    return total / weight
