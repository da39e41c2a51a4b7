"""WORLD resynthesis of a song in another key: the ceiling of many metrics.

No F0 tracker and no recogniser reads a resynthesis as it reads the recording.
Errors measured on this one, which preserves voice, words and melody, are those of
the evaluator.
"""

from __future__ import annotations

import numpy as np

from modules.dsp.f0 import fill_unvoiced, transpose


def resynthesis(
    audio: np.ndarray, f0: np.ndarray, uv: np.ndarray, key: float, sampling_rate: int, hop_length: int = 512
) -> np.ndarray:
    """``audio`` (T,) transposed by ``key`` semitones, with its own envelope and aperiodicity: (T,) float32.

    F0 (N,) is in Hz, one per hop; uv (N,) is 1 where it is voiced.
    """
    import pyworld

    track = (f0 * (uv > 0)).astype(np.float64)
    samples = audio.astype(np.float64)
    times = np.arange(len(track)) * hop_length / sampling_rate
    filled = fill_unvoiced(track)[0].astype(np.float64)
    envelope = pyworld.cheaptrick(samples, filled, times, sampling_rate)
    aperiodicity = pyworld.d4c(samples, track, times, sampling_rate)
    result = pyworld.synthesize(
        transpose(track, key), envelope, aperiodicity, sampling_rate, 1000 * hop_length / sampling_rate
    )
    result = np.pad(result, (0, max(0, len(audio) - len(result))))
    return result[: len(audio)].astype(np.float32)
