"""The interface of an evaluator, and how one reports that it cannot run."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from evaluation.conversions import Conversion, EvalScore, SourceSong

REQUIREMENTS = "requirements-quality.txt"


class Unavailable(Exception):
    """An evaluator cannot run; the message says what it needs."""


@dataclass(frozen=True)
class EvalInputs:
    """What evaluators may use beside the conversions."""

    target: Sequence[Path] = ()  # recordings of the target voice
    language: str = ""  # of the words, one of Whisper's codes; "": detected in each song


class Evaluator(ABC):
    """Computes scores of a conversion.

    Raises:
        Unavailable: A package or an optional input is missing.
    """

    def __init__(self, inputs: EvalInputs) -> None:
        self.inputs = inputs

    @abstractmethod
    def evaluate(self, conversion: Conversion) -> Mapping[str, EvalScore]:
        """Scores by the names of modules/common/metrics.py."""


class ReferencedEvaluator(Evaluator):
    """Measures a conversion and, the same way, its reference; that once for all conversions of a song."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        self._of_reference = lru_cache(maxsize=8)(lambda song: self.measure(self.reference(song), song))

    def reference(self, song: SourceSong) -> np.ndarray:
        """Audio (T,) that the scores are compared with: the source."""
        return song.audio

    @abstractmethod
    def measure(self, audio: np.ndarray, song: SourceSong) -> Mapping[str, float]:
        """Numbers of ``audio`` (T,), a conversion or the reference of ``song``, by metric."""

    def evaluate(self, conversion: Conversion) -> dict[str, EvalScore]:
        """Scores of the conversion beside those of the reference."""
        reference = self._of_reference(conversion.song)
        values = self.measure(conversion.audio, conversion.song)
        return {name: EvalScore(value, reference[name]) for name, value in values.items()}


@contextmanager
def importing(package: str) -> Iterator[None]:
    """Import an evaluator's optional package, without the warnings of its own dependencies.

    Raises:
        Unavailable: It, or something that it needs, is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        lacking = f" ({error.name} is missing)" if error.name and error.name != package else ""
        raise Unavailable(
            f"{package} is not installed{lacking}; get it with: python -m pip install -r {REQUIREMENTS}"
        ) from None
