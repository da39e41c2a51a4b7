"""Numbers that say how well a conversion kept the melody.

The judge is harvest, whatever predictor the conversion used. No tracker reads a
resynthesis perfectly, so the score stands beside that of a plain WORLD
resynthesis of the source with the same F0 and key, which is its ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modules.f0 import fill_unvoiced, raw_pitch_accuracy, transpose
from modules.f0_predictor import F0_PREDICTORS

JUDGE = "harvest"


@dataclass(frozen=True)
class PitchScore:
    """Raw pitch accuracy of a conversion and of its ceiling.

    Attributes:
        conversion: Of the result, against the shifted source.
        ceiling: Of a WORLD resynthesis of the source with the same F0 and key.
    """

    conversion: float
    ceiling: float


def pitch_score(
    source: np.ndarray, result: np.ndarray, f0: np.ndarray, uv: np.ndarray, key: float, sampling_rate: int
) -> PitchScore:
    """Judge the melody of ``result`` (T,) against that of ``source`` (T,).

    Args:
        source: The song as it was, samples.
        result: The conversion, samples on the same clock.
        f0: F0 (N,) of the source in Hz that the conversion used, one per hop of
            512 samples.
        uv: (N,) 1 = voiced.
        key: Semitones by which the conversion moved it.
        sampling_rate: Hz, of both.
    """
    wanted = transpose(f0, key) * (uv > 0)
    judge = F0_PREDICTORS.build(JUDGE, sampling_rate=sampling_rate)

    def judged(audio: np.ndarray) -> float:
        return raw_pitch_accuracy(wanted, judge.predict(audio.astype(np.float32), len(wanted))[0])

    return PitchScore(judged(result), judged(_resynthesis(source, wanted, f0 * (uv > 0), sampling_rate)))


def _resynthesis(source: np.ndarray, wanted: np.ndarray, f0: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return ``source`` with another F0, its envelope and aperiodicity by WORLD."""
    import pyworld

    hop = 512
    audio = source.astype(np.float64)
    times = np.arange(len(f0)) * hop / sampling_rate
    track = f0.astype(np.float64)
    envelope = pyworld.cheaptrick(audio, fill_unvoiced(track)[0].astype(np.float64), times, sampling_rate)
    aperiodicity = pyworld.d4c(audio, track, times, sampling_rate)
    return pyworld.synthesize(
        wanted.astype(np.float64), envelope, aperiodicity, sampling_rate, 1000 * hop / sampling_rate
    )
