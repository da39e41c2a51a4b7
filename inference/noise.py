"""Noise that belongs to the song: the same frame always gets the same numbers.

Slices that overlap then agree, a song gives the same result every time, and
with or without PyTorch.
"""

from __future__ import annotations

import numpy as np

SEED = 1234
GLOW, DIFFUSION = 0, 1  # streams: no model gets the noise of another
_BLOCK = 64  # frames that share one seed


def frame_noise(first: int, n_frames: int, n_mels: int, stream: int = GLOW) -> np.ndarray:
    """Return standard normal noise (M, N), float32, that depends on the frames' place in the song alone.

    Args:
        first: Number of the first frame; negative before the song begins.
        n_frames: N.
        n_mels: M.
        stream: Which noise.
    """
    blocks = range(first // _BLOCK, (first + n_frames - 1) // _BLOCK + 1)
    noise = np.concatenate([_block(block, n_mels, stream) for block in blocks], axis=1)
    skip = first - blocks.start * _BLOCK
    return noise[:, skip : skip + n_frames]


def _block(block: int, n_mels: int, stream: int) -> np.ndarray:
    seeds = np.random.SeedSequence([SEED, stream, block % 2**32])  # blocks before the song come last
    return np.random.Generator(np.random.PCG64(seeds)).standard_normal((n_mels, _BLOCK), np.float32)
