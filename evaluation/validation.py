"""Scores of validation clips during training: evaluators that need only a sound and its recording."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from evaluation.conversions import NAN
from evaluation.evaluators.base import EvalInputs, Evaluator, Unavailable
from evaluation.evaluators.naturalness import DistilledNaturalness, Naturalness, distillmos, dnsmos
from evaluation.evaluators.similarity import SourceSimilarity, cosine, embed
from evaluation.evaluators.words import WordErrors, build_transcriber
from evaluation.text import error_rate, split_text
from modules.dsp.audio import read_audio

AudioScorer = Callable[[np.ndarray, int, Path], dict[str, float]]


def build_scorer() -> tuple[AudioScorer, dict[str, str]]:
    """Function that scores a sound, see training/tasks/preview.py, and why scores are missing, by name.

    Scores are "similarity", the cosine of Resemblyzer's embeddings of the sound and of its
    recording, "transcript_error" of the words recognised in both (these two are NaN if the
    recording is gone), "dnsmos_ovrl" and "distillmos", as far as their packages are installed.
    """
    missing: dict[str, str] = {}
    for name, (evaluator, _) in _SCORERS.items():
        try:
            evaluator(EvalInputs())
        except Unavailable as reason:
            missing[name] = str(reason)

    def score_audio(audio: np.ndarray, sampling_rate: int, recording: Path) -> dict[str, float]:
        scorers = {name: score for name, (_, score) in _SCORERS.items() if name not in missing}
        return {name: score(audio, sampling_rate, recording) for name, score in scorers.items()}

    return score_audio, missing


def _similarity(audio: np.ndarray, sampling_rate: int, recording: Path) -> float:
    known = embed(*read_audio(recording)) if recording.exists() else None
    return cosine(embed(audio, sampling_rate), known)


def _transcript_error(audio: np.ndarray, sampling_rate: int, recording: Path) -> float:
    if not recording.exists():
        return NAN
    language, words = _transcript(recording, len(audio) / sampling_rate)
    recognised = build_transcriber().transcribe(audio, sampling_rate, language)
    return error_rate(words, split_text(recognised, language))


@lru_cache(maxsize=64)
def _transcript(recording: Path, seconds: float) -> tuple[str, list[str]]:
    """Language and words of the beginning of a recording."""
    audio, rate = read_audio(recording)
    audio = audio[: round(seconds * rate)]
    language = build_transcriber().detect_language(audio, rate)
    return language, split_text(build_transcriber().transcribe(audio, rate, language), language)


_SCORERS: dict[str, tuple[type[Evaluator], Callable[[np.ndarray, int, Path], float]]] = {
    "similarity": (SourceSimilarity, _similarity),
    "transcript_error": (WordErrors, _transcript_error),
    "dnsmos_ovrl": (Naturalness, lambda audio, rate, _: dnsmos(audio, rate)[0]),
    "distillmos": (DistilledNaturalness, lambda audio, rate, _: distillmos(audio, rate)),
}
