"""How well a conversion kept the melody.

The judge is harvest, whatever predictor the conversion used. No tracker reads a
resynthesis perfectly, so every score stands beside that of a plain WORLD
resynthesis of the source with the same F0 and key, which is its ceiling. The
formulas are mir_eval's (Poliner et al., 2007; Raffel et al., 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.conversions import Score, Take
from evaluation.evaluators.base import Judge
from evaluation.resynthesis import resynthesis
from modules.dsp.f0 import transpose
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


@dataclass(frozen=True)
class MelodyScore:
    """Three numbers on one sound.

    Attributes:
        accuracy: Share of the voiced frames of the reference that are hit within 50
            cents, whether or not the judge calls them voiced; NaN if none is voiced.
        cents: Mean distance where both are voiced, cents; NaN if that is nowhere.
        voicing: Share of all frames that are voiced in both or in neither; NaN without frames.
    """

    accuracy: float
    cents: float
    voicing: float


def compare_melodies(
    wanted: np.ndarray, found: np.ndarray, wanted_uv: np.ndarray, found_uv: np.ndarray
) -> MelodyScore:
    """Return how near the melody ``found`` is to ``wanted``.

    Args:
        wanted: F0 (N,) in Hz; unvoiced frames may hold anything.
        found: F0 (N,) in Hz, gaps filled.
        wanted_uv: (N,), 1 = voiced.
        found_uv: (N,), 1 = voiced.
    """
    from mir_eval.melody import hz2cents, raw_pitch_accuracy

    voiced, heard = wanted_uv > 0, found_uv > 0
    nan = float("nan")
    if not voiced.any():
        return MelodyScore(nan, nan, float(np.mean(voiced == heard)) if len(voiced) else nan)
    true, cents = hz2cents(wanted * voiced), hz2cents(found.astype(np.float64))
    both = voiced & heard & (cents != 0)  # 0 stands for no pitch
    return MelodyScore(
        accuracy=float(raw_pitch_accuracy(voiced.astype(float), true, np.ones(len(cents)), cents)),
        cents=float(np.abs(true - cents)[both].mean()) if both.any() else nan,
        voicing=float(np.mean(voiced == heard)),
    )


def melody_score(
    audio: np.ndarray, f0: np.ndarray, uv: np.ndarray, key: float, sampling_rate: int, hop_length: int = 512
) -> MelodyScore:
    """Judge the melody of ``audio`` (T,) against F0 (N,) of a source, moved by ``key`` semitones.

    Args:
        audio: Samples on the clock of ``f0``.
        f0: Hz.
        uv: (N,), 1 = voiced.
        key: Semitones.
        sampling_rate: Hz.
        hop_length: Samples per frame.
    """
    judge = F0_PREDICTORS.build(JUDGE, sampling_rate=sampling_rate, hop_length=hop_length)
    found, heard = judge.predict(audio.astype(np.float32), len(f0))
    return compare_melodies(transpose(f0, key), found, uv, heard)


class Melody(Judge):
    """The melody of a result, beside that of a WORLD resynthesis of its source."""

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "f0_accuracy", "f0_cents" and "voicing"."""
        song = take.song
        made, best = (
            melody_score(audio, song.f0, song.uv, song.key, song.sampling_rate, song.hop_length)
            for audio in (take.audio, song.resynthesis)
        )
        return {
            "f0_accuracy": Score(made.accuracy, best.accuracy),
            "f0_cents": Score(made.cents, best.cents),
            "voicing": Score(made.voicing, best.voicing),
        }


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
    ceiling = resynthesis(source, f0, uv, key, sampling_rate)
    conversion, best = (
        melody_score(audio, f0, uv, key, sampling_rate).accuracy for audio in (result, ceiling)
    )
    return PitchScore(conversion, best)
