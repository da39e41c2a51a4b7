"""Random numbers of the vocoders: the same in every run and every slice, with or without PyTorch."""

from __future__ import annotations

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
        generator = np.random.default_rng([_SEED, block])
        drawn = generator.standard_normal((min(end - begin, _BLOCK) * hop_length), np.float32)
        parts.append(drawn[max(first - begin, 0) * hop_length :])
    return np.concatenate(parts)
