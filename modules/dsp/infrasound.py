"""What lies below hearing: constant offset (DC) and rumble.

Neither is heard, but both count as loud in a level. Levels are therefore measured
without them, and the offset is removed from the sound itself. NumPy alone:
converting without PyTorch has no scipy.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

BLOCK = 0.02  # s; a cubic follows 20 Hz within it to -43 dB, and 100 Hz hardly at all
_DEGREES = 4  # of freedom of a cubic
_DOMINANT = 0.75  # share of a block's energy from which its sound is taken for rumble
_NEGLIGIBLE = 5e-3  # of the RMS, -46 dB; a smaller offset stays
_SPAN = 0.1  # s, in which the mean of sound is near zero
_LEAST = 3  # spans; of fewer it is not known what is constant
_RUN = 32  # samples; more zeros in a row are digital silence


def block_length(sampling_rate: int) -> int:
    """Samples in a block."""
    return max(1, round(BLOCK * sampling_rate))


def without_rumble(blocks: np.ndarray) -> np.ndarray:
    """``blocks`` (R, L) of 20 ms, each without its best cubic if that is most of its energy.

    Other blocks stay as they are, bit for bit.
    """
    length = blocks.shape[1]
    basis = _polynomials(length, min(_DEGREES, length))
    weights = blocks.astype(np.float64) @ basis
    rumbling = np.square(weights).sum(1) > _DOMINANT * np.einsum("ij,ij->i", blocks, blocks, dtype=np.float64)
    if not rumbling.any():
        return blocks
    blocks = blocks.copy()
    blocks[rumbling] -= (weights[rumbling] @ basis.T).astype(blocks.dtype)
    return blocks


def audible(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """``audio`` (T,) without rumble, see :func:`without_rumble`: to measure, not to be heard."""
    length = block_length(sampling_rate)
    whole = len(audio) // length * length
    blocks = without_rumble(audio[:whole].reshape(-1, length)).reshape(-1)
    return np.concatenate([blocks, without_rumble_at_end(audio[whole:], length)])


def without_rumble_at_end(rest: np.ndarray, length: int) -> np.ndarray:
    """``rest`` (T,), less than a block of ``length`` samples, without a curve of fewer degrees of freedom."""
    if len(rest) == 0:
        return rest
    basis = _polynomials(len(rest), max(1, _DEGREES * len(rest) // length))
    weights = rest.astype(np.float64) @ basis
    if not np.square(weights).sum() > _DOMINANT * np.square(rest, dtype=np.float64).sum():
        return rest
    return rest - (basis @ weights).astype(rest.dtype)


@lru_cache(maxsize=16)
def _polynomials(length: int, degrees: int) -> np.ndarray:
    """Orthonormal polynomials (length, degrees)."""
    return np.linalg.qr(np.vander(np.linspace(-1, 1, length), degrees))[0]


class OffsetMeter:
    """Constant offset of a recording that comes in blocks, from the means of each 0.1 s of it.

    Digital silence does not count.
    """

    def __init__(self, sampling_rate: int) -> None:
        self._length = max(1, round(_SPAN * sampling_rate))
        self._rest = np.zeros(0, np.float32)
        self._sums: list[np.ndarray] = []  # (2, R): of samples, and of their squares
        self._counts: list[np.ndarray] = []  # (R,): samples that are not zero

    def feed(self, audio: np.ndarray) -> None:
        """Add the next samples (T,)."""
        audio = np.concatenate([self._rest, audio])
        whole = len(audio) // self._length * self._length
        spans = audio[:whole].reshape(-1, self._length)
        powers = np.einsum("ij,ij->i", spans, spans, dtype=np.float64)
        self._sums.append(np.stack([spans.sum(axis=1, dtype=np.float64), powers]))
        self._counts.append(np.count_nonzero(spans, axis=1))
        self._rest = audio[whole:]

    def offset(self) -> float:
        """Offset of everything fed so far; 0 if there is none, or the recording is too short to tell."""
        sums = np.concatenate([np.zeros((2, 0)), *self._sums], axis=1)
        counts = np.concatenate([np.zeros(0, int), *self._counts])
        (total, power), counts = sums[:, counts > 0], counts[counts > 0]
        if len(counts) < _LEAST:
            return 0.0
        mean = total.sum() / counts.sum()
        rms = math.sqrt(power.sum() / counts.sum())
        steady = abs(mean) > 2 * np.std(total / counts)
        return float(mean) if steady and abs(mean) > _NEGLIGIBLE * rms else 0.0


def remove_offset(audio: np.ndarray, offset: float) -> np.ndarray:
    """``audio`` (T,), any part of a recording, less ``offset``; digital silence stays zero."""
    if offset == 0.0:
        return audio
    runs = np.flatnonzero(np.diff(audio == 0, prepend=False, append=False)).reshape(-1, 2)
    at_ends = (runs[:, 0] == 0) | (runs[:, 1] == len(audio))  # longer than it seems
    audio = audio - np.float32(offset)
    for start, end in runs[runs[:, 1] - runs[:, 0] > np.where(at_ends, 1, _RUN)].tolist():
        audio[start:end] = 0
    return audio
