"""Loudness and speed of a conversion; both only inform and are not ranked."""

from __future__ import annotations

import math

import numpy as np

from evaluation.conversions import NAN, Conversion, EvalScore, SourceSong
from evaluation.evaluators.base import Evaluator, ReferencedEvaluator
from modules.dsp.loudness import integrated_loudness


class Loudness(ReferencedEvaluator):
    """Integrated loudness of the result, beside that of the song."""

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Number "loudness", LUFS; NaN for silence."""
        loudness = integrated_loudness(audio, song.sampling_rate)
        return {"loudness": loudness if math.isfinite(loudness) else NAN}


class Speed(Evaluator):
    """Seconds of computation per second of song."""

    def evaluate(self, conversion: Conversion) -> dict[str, EvalScore]:
        """Score "real_time_factor"."""
        return {"real_time_factor": EvalScore(conversion.real_time_factor)}
