"""A song sung again by WORLD with another melody: the ceiling of many numbers.

No tracker, and no recogniser, reads a resynthesis as it reads the recording.
What a judge finds wrong with this one, which keeps voice, words and tune, is a
fault of the judge.
"""

from __future__ import annotations

import numpy as np

from modules.dsp.f0 import fill_unvoiced, transpose


def resynthesis(
    audio: np.ndarray, f0: np.ndarray, uv: np.ndarray, key: float, sampling_rate: int, hop_length: int = 512
) -> np.ndarray:
    """Return ``audio`` (T,) moved by ``key`` semitones, with its own envelope and aperiodicity.

    Args:
        audio: Samples.
        f0: (N,), Hz, one per hop.
        uv: (N,), 1 = voiced.
        key: Semitones.
        sampling_rate: Hz.
        hop_length: Samples per frame.

    Returns:
        (T,) float32.
    """
    import pyworld

    track = (f0 * (uv > 0)).astype(np.float64)
    samples = audio.astype(np.float64)
    times = np.arange(len(track)) * hop_length / sampling_rate
    filled = fill_unvoiced(track)[0].astype(np.float64)
    envelope = pyworld.cheaptrick(samples, filled, times, sampling_rate)
    aperiodicity = pyworld.d4c(samples, track, times, sampling_rate)
    sung = pyworld.synthesize(
        transpose(track, key), envelope, aperiodicity, sampling_rate, 1000 * hop_length / sampling_rate
    )
    sung = np.pad(sung, (0, max(0, len(audio) - len(sung))))
    return sung[: len(audio)].astype(np.float32)
