"""Random numbers of the sine source: the same in every run, with or without PyTorch."""

from __future__ import annotations

import numpy as np

N_HARMONICS = 9  # the fundamental and eight above
_SEED = 0


def source_generator() -> np.random.Generator:
    """A freshly seeded generator for one synthesis, so that equal inputs give equal audio."""
    return np.random.default_rng(_SEED)


def initial_phase(generator: np.random.Generator | None) -> np.ndarray:
    """Phase (9,) of each harmonic before the first sample, cycles; the fundamental's is 0."""
    phase = np.zeros(N_HARMONICS)
    if generator is not None:
        phase[1:] = generator.random(N_HARMONICS - 1)
    return phase
