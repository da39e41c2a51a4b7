"""Scores of sound files by the evaluators of evaluate.py, whatever made the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from evaluation.conversions import Conversion, EvalScore, SourceSong
from evaluation.evaluators import EVALUATORS
from evaluation.evaluators.base import EvalInputs, Evaluator, Unavailable
from modules.dsp.audio import read_audio
from modules.f0_predictor import F0_PREDICTORS

RATE, HOP = 44100, 512
NAMES = ("melody", "target", "source", "words", "naturalness", "distilled")  # evaluators


@dataclass(frozen=True, eq=False)
class SourceFile:
    """A recording before conversion."""

    path: Path
    text: str = ""  # its words, if they are known
    language: str = ""  # of the words; "": detected
    f0: np.ndarray | None = field(default=None, repr=False)  # (N,) Hz, 0 where unvoiced; None: tracked

    def melody(self) -> np.ndarray:
        """F0 (N,) in Hz, 0 where unvoiced."""
        if self.f0 is not None:
            return self.f0
        f0, uv = F0_PREDICTORS.build("pm", sampling_rate=RATE, hop_length=HOP).predict(self.audio())
        return f0 * uv

    def audio(self) -> np.ndarray:
        """Its samples (T,) at 44.1 kHz."""
        return read_audio(self.path, RATE)[0]


class FileScorer:
    """Scores results of one voice; what belongs to a source is computed once.

    ``target`` are recordings of the voice, ``names`` evaluators of songs.

    Raises:
        SystemExit: A package is not installed, or no voice is found in ``target``.
    """

    def __init__(self, target: Sequence[Path], names: Sequence[str] = NAMES) -> None:
        self._target = target
        self._evaluators = {name: self._build(name, "") for name in names}
        self._words = lru_cache(maxsize=None)(lambda language: self._build("words", language))
        self._song = lru_cache(maxsize=8)(_read)

    def score(self, result: Path, source: SourceFile, key: float = 0.0) -> dict[str, EvalScore]:
        """Scores by the names of modules/common/metrics.py; ``key`` in semitones."""
        conversion = Conversion(self._song(source, key), read_audio(result, RATE)[0])
        scores: dict[str, EvalScore] = {}
        for name, evaluator in self._evaluators.items():
            chosen = self._words(source.language) if name == "words" else evaluator
            scores |= chosen.evaluate(conversion)
        return scores

    def _build(self, name: str, language: str) -> Evaluator:
        try:
            return EVALUATORS.build(name, EvalInputs(self._target, language))
        except Unavailable as reason:
            raise SystemExit(str(reason)) from None


def _read(source: SourceFile, key: float) -> SourceSong:
    audio, f0 = source.audio(), source.melody()
    uv = (f0 > 0).astype(np.float32)
    return SourceSong(source.path.name, audio, RATE, f0, uv, key, HOP, source.text)
