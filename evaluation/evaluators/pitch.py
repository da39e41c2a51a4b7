"""Melody: how well a conversion preserves the F0 of the source.

F0 is tracked by harvest, whichever predictor the conversion used. No tracker reads
a resynthesis without errors, so the reference is a plain WORLD resynthesis of the
source with the same F0 and key, which is the ceiling. The formulas are mir_eval's
(Poliner et al., 2007; Raffel et al., 2014).
"""

from __future__ import annotations

import numpy as np

from evaluation.conversions import NAN, Conversion, EvalScore, SourceSong
from evaluation.evaluators.base import EvalInputs, ReferencedEvaluator
from modules.dsp.f0 import transpose
from modules.f0_predictor import F0_PREDICTORS

TRACKER = "harvest"


def compare_melodies(
    reference: np.ndarray, estimate: np.ndarray, reference_uv: np.ndarray, estimate_uv: np.ndarray
) -> dict[str, float]:
    """Metrics of the melody ``estimate``.

    Args:
        reference: F0 (N,) in Hz; unvoiced frames may hold anything.
        estimate: F0 (N,) in Hz, gaps filled.
        reference_uv: (N,), 1 = voiced.
        estimate_uv: (N,), 1 = voiced.

    Returns:
        "f0_accuracy", the share of the voiced frames of the reference whose estimate
        is within 50 cents, even if it is called unvoiced (NaN if none is voiced);
        "f0_cents", the mean absolute error in cents where both are voiced (NaN if
        none are); "voicing", the share of all frames on which both agree (NaN
        without frames).
    """
    from mir_eval.melody import hz2cents, raw_pitch_accuracy

    voiced, estimate_voiced = reference_uv > 0, estimate_uv > 0
    accuracy = error = NAN
    if voiced.any():
        true, cents = hz2cents(reference * voiced), hz2cents(estimate.astype(np.float64))
        accuracy = float(raw_pitch_accuracy(voiced.astype(float), true, np.ones(len(cents)), cents))
        both = voiced & estimate_voiced & (cents != 0)  # 0 stands for no pitch
        error = float(np.abs(true - cents)[both].mean()) if both.any() else NAN
    voicing = float(np.mean(voiced == estimate_voiced)) if len(voiced) else NAN
    return {"f0_accuracy": accuracy, "f0_cents": error, "voicing": voicing}


class Melody(ReferencedEvaluator):
    """Melody of a result, beside that of a WORLD resynthesis of its source."""

    def reference(self, song: SourceSong) -> np.ndarray:
        """WORLD resynthesis of the song (T,)."""
        return song.resynthesis

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Numbers "f0_accuracy", "f0_cents" and "voicing"."""
        tracker = F0_PREDICTORS.build(TRACKER, sampling_rate=song.sampling_rate, hop_length=song.hop_length)
        f0, uv = tracker.predict(audio.astype(np.float32), len(song.f0))
        return compare_melodies(transpose(song.f0, song.key), f0, song.uv, uv)


def pitch_score(song: SourceSong, result: np.ndarray) -> EvalScore:
    """Raw pitch accuracy of a conversion (T,) of ``song``, beside that of the resynthesis."""
    return Melody(EvalInputs()).evaluate(Conversion(song, result))["f0_accuracy"]
