"""Scores of validation clips during training: evaluators that need only a sound and its recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluation.conversions import NAN
from evaluation.evaluators.base import EvalInputs, Unavailable
from evaluation.evaluators.naturalness import Naturalness, dnsmos
from evaluation.evaluators.similarity import SourceSimilarity, cosine, embed
from modules.dsp.audio import read_audio

AudioScorer = Callable[[np.ndarray, int, Path], dict[str, float]]


def build_scorer() -> tuple[AudioScorer, dict[str, str]]:
    """Function that scores a sound, see training/tasks/preview.py, and why scores are missing, by name.

    Scores are "similarity", the cosine of Resemblyzer's embeddings of the sound and
    of its recording (NaN if that is gone), and "dnsmos_ovrl", as far as their
    packages are installed.
    """
    scores: dict[str, Callable[[np.ndarray, int, Path], float]] = {}
    missing: dict[str, str] = {}
    for name, evaluator, score in (
        ("similarity", SourceSimilarity, _similarity),
        ("dnsmos_ovrl", Naturalness, _dnsmos_ovrl),
    ):
        try:
            evaluator(EvalInputs())
            scores[name] = score
        except Unavailable as reason:
            missing[name] = str(reason)

    def score_audio(audio: np.ndarray, sampling_rate: int, recording: Path) -> dict[str, float]:
        return {name: score(audio, sampling_rate, recording) for name, score in scores.items()}

    return score_audio, missing


def _similarity(audio: np.ndarray, sampling_rate: int, recording: Path) -> float:
    if not recording.exists():
        return NAN
    return cosine(embed(audio, sampling_rate), embed(*read_audio(recording)))


def _dnsmos_ovrl(audio: np.ndarray, sampling_rate: int, recording: Path) -> float:
    return dnsmos(audio, sampling_rate)[0]
