"""Noise by frame number, so that overlapping slices agree and results are reproducible.

The numbers are the same with and without PyTorch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SEED = 1234
GLOW, DIFFUSION = 0, 1  # independent streams; those after belong to the diffusion's steps
_BLOCK = 64  # frames that share one seed


def frame_noise(first: int, n_frames: int, n_mels: int, stream: int = GLOW) -> np.ndarray:
    """Draw standard normal noise (M, N), float32, that depends on the frame numbers and ``stream`` alone.

    The number ``first`` of the first frame is negative before the recording begins.
    """
    blocks = range(first // _BLOCK, (first + n_frames - 1) // _BLOCK + 1)
    noise = np.concatenate([_block(block, n_mels, stream) for block in blocks], axis=1)
    skip = first - blocks.start * _BLOCK
    return noise[:, skip : skip + n_frames]


@lru_cache(maxsize=8)  # a stream asks for the same ones again and again
def _block(block: int, n_mels: int, stream: int) -> np.ndarray:
    seeds = np.random.SeedSequence([SEED, stream, block % 2**32])  # negative numbers wrap
    return np.random.Generator(np.random.PCG64(seeds)).standard_normal((n_mels, _BLOCK), np.float32)
