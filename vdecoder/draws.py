"""Random numbers of the vocoders: the same in every run and every slice, with or without PyTorch."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import numpy as np

from vdecoder.clock import SourceStart

N_HARMONICS = 9  # the fundamental and eight above
_SEED = 0
_BLOCK = 4096  # frames that share one seed; a song of one slice lies in the first


def initial_phase(start: SourceStart) -> np.ndarray:
    """Phase (9,) of each harmonic before the first sample of a slice, cycles, float64.

    Where a song begins the fundamental's is 0.
    """
    phase = np.zeros(N_HARMONICS)
    phase[1:] = np.random.default_rng(_SEED).random(N_HARMONICS - 1)
    return phase + start.phase * np.arange(1, N_HARMONICS + 1)


def source_noise(start: SourceStart, n_frames: int, hop_length: int) -> np.ndarray:
    """Standard normal noise (n_frames * hop_length,), float32, that depends on the frame numbers alone."""
    first, end = start.frame, start.frame + n_frames
    parts = []
    for block in range(first // _BLOCK, (end - 1) // _BLOCK + 1):
        begin = block * _BLOCK
        drawn = _sequence(block, hop_length).first(min(end - begin, _BLOCK) * hop_length)
        parts.append(drawn[max(first - begin, 0) * hop_length :])
    return np.concatenate(parts)


class _Sequence:
    """Noise of one block, drawn as far as needed: a stream asks for a little more each time."""

    def __init__(self, block: int, length: int) -> None:
        self._generator = np.random.default_rng([_SEED, block])
        self._numbers, self._drawn = np.empty(length, np.float32), 0
        self._lock = Lock()

    def first(self, length: int) -> np.ndarray:
        """The first numbers (length,); to be read alone."""
        with self._lock:
            if self._drawn < length:
                more = self._numbers[self._drawn : length]
                self._generator.standard_normal(out=more, dtype=np.float32)
                self._drawn = length
        return self._numbers[:length]


@lru_cache(maxsize=2)  # 8 MB each
def _sequence(block: int, hop_length: int) -> _Sequence:
    return _Sequence(block, _BLOCK * hop_length)
