"""Scores of validation clips during training: evaluators that need only a sound and its recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

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
    missing: dict[str, str] = {}
    for name, evaluator in (("similarity", SourceSimilarity), ("dnsmos_ovrl", Naturalness)):
        try:
            evaluator(EvalInputs())
        except Unavailable as reason:
            missing[name] = str(reason)

    def score_audio(audio: np.ndarray, sampling_rate: int, recording: Path) -> dict[str, float]:
        scores: dict[str, float] = {}
        if "similarity" not in missing:
            known = embed(*read_audio(recording)) if recording.exists() else None
            scores["similarity"] = cosine(embed(audio, sampling_rate), known)
        if "dnsmos_ovrl" not in missing:
            scores["dnsmos_ovrl"] = dnsmos(audio, sampling_rate)[0]
        return scores

    return score_audio, missing
