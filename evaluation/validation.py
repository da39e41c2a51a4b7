"""Who hears the validations of a training: judges that need no more than a sound and its recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluation.evaluators.base import Given, Unavailable
from evaluation.evaluators.naturalness import Naturalness, dnsmos
from evaluation.evaluators.similarity import SourceSimilarity, cosine, embed
from modules.dsp.audio import read_audio

Listener = Callable[[np.ndarray, int, Path], dict[str, float]]


def build_listener() -> tuple[Listener, dict[str, str]]:
    """Return a listener, see training/preview.py, and why numbers are missing, by name.

    It gives "similarity", the cosine of Resemblyzer's embeddings of the sound and
    of the recording that it should be like (NaN if that is gone), and
    "dnsmos_ovrl", as far as their packages are installed.
    """
    scores: dict[str, Callable[[np.ndarray, int, Path], float]] = {}
    missing: dict[str, str] = {}
    for name, judge, score in (
        ("similarity", SourceSimilarity, _similarity),
        ("dnsmos_ovrl", Naturalness, _dnsmos_ovrl),
    ):
        try:
            judge(Given())
            scores[name] = score
        except Unavailable as reason:
            missing[name] = str(reason)

    def listen(audio: np.ndarray, sampling_rate: int, recording: Path) -> dict[str, float]:
        return {name: score(audio, sampling_rate, recording) for name, score in scores.items()}

    return listen, missing


def _similarity(audio: np.ndarray, sampling_rate: int, recording: Path) -> float:
    if not recording.exists():
        return float("nan")
    return cosine(embed(audio, sampling_rate), embed(*read_audio(recording)))


def _dnsmos_ovrl(audio: np.ndarray, sampling_rate: int, recording: Path) -> float:
    return dnsmos(audio, sampling_rate)[0]
