"""Which words, and which sounds, survive a conversion, as far as a recogniser can tell.

pocketsphinx brings its US English model in its package. It was made for speech:
of singing it understands little, so every number stands beside what it makes of
the unconverted song, or of a resynthesis that keeps its words.
"""

from __future__ import annotations

import logging
import math
import re
import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.conversions import Score, Song, Take
from evaluation.evaluators.base import Given, Judge, Unavailable, importing
from modules.common.errors import ConfigError
from modules.dsp.audio import resample

logger = logging.getLogger(__name__)

RATE = 16000  # Hz
_LEAST = RATE // 10  # samples
_NO_SOUND = re.compile(r"[<+].*|SIL|\[.*")  # how it calls silence, breath and noise
_VARIANT = re.compile(r"\(\d+\)$")  # the(2): the second way to say it


def read_text(given: str) -> str:
    """Return the words themselves; ``given`` may be a .txt file of them.

    Raises:
        ConfigError: The file cannot be read.
    """
    if not given.lower().endswith(".txt"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--text: {given} cannot be read as UTF-8 text: {error}") from None


def words_of(text: str) -> list[str]:
    """Return the words of ``text``, in lower case, without punctuation."""
    return re.findall(r"[^\W_]+(?:['-][^\W_]+)*", text.replace("’", "'").lower())


def recognise(decoder: Any, audio: np.ndarray, sampling_rate: int) -> list[str]:
    """Return the words or phones that a decoder hears in ``audio`` (T,)."""
    heard = resample(audio, sampling_rate, RATE)
    if len(heard) < _LEAST:
        return []
    decoder.reinit_feat()  # or the noise of the recording before is taken off this one
    decoder.start_utt()
    samples = (np.clip(heard, -1, 1) * 32767).astype("<i2")
    decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
    decoder.end_utt()
    found = [_VARIANT.sub("", segment.word) for segment in decoder.seg() or ()]
    return [word for word in found if not _NO_SOUND.fullmatch(word)]


def error_rate(true: Iterable[str], heard: Iterable[str]) -> float:
    """Return substitutions, insertions and deletions per true word; NaN without true words."""
    import jiwer

    true = list(true)
    return float(jiwer.wer(" ".join(true), " ".join(heard))) if true else float("nan")


def _decoder(**settings: Any) -> Any:
    with importing("jiwer"):
        import jiwer  # noqa: F401
    with importing("pocketsphinx"):
        from pocketsphinx import Decoder
    return Decoder(**{"lm": None, "samprate": RATE, "loglevel": "FATAL", **settings})


def _equally_likely(words: Sequence[str]) -> str:
    """Return a language model, in ARPA format, of these words in any order."""
    share = -math.log10(len(words) + 1)
    entries = ["-99 <s>", *(f"{share:.4f} {word}" for word in ("</s>", *words))]
    return "\n".join(["\\data\\", f"ngram 1={len(entries)}", "", "\\1-grams:", *entries, "", "\\end\\", ""])


class Words(Judge):
    """Word errors of a recogniser that knows only the words of the given texts, in any order."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        if not given.texts:
            raise Unavailable("give the words of the songs, in English: --text WORDS")
        dictionary = _decoder()
        vocabulary = sorted({word for text in given.texts for word in words_of(text)})
        known = [word for word in vocabulary if dictionary.lookup_word(word) is not None]
        unknown = [word for word in vocabulary if word not in known]
        if not known:
            raise Unavailable(f"the recogniser knows no word of --text: {' '.join(unknown) or 'it is empty'}")
        if unknown:
            logger.warning("--text: the recogniser knows no %s; they count as errors", ", ".join(unknown))
        # every word is equally likely at any place; the same as a grammar takes a hundred times as long
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "words.arpa"
            model.write_text(_equally_likely(known), encoding="utf-8")
            self._decoder = _decoder(lm=str(model))
        self._of_source = lru_cache(maxsize=8)(lambda song: self._errors(song, song.audio))

    def _errors(self, song: Song, audio: np.ndarray) -> float:
        return error_rate(words_of(song.text), recognise(self._decoder, audio, song.sampling_rate))

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "word_error"."""
        return {"word_error": Score(self._errors(take.song, take.audio), self._of_source(take.song))}


class Phones(Judge):
    """Differences of the phones heard in a result from those heard in its source."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        with importing("pocketsphinx"):
            from pocketsphinx import get_model_path
        grammar = Path(get_model_path()) / "en-us" / "en-us-phone.lm.bin"
        # weight and beams as in pocketsphinx' own documentation of phoneme recognition
        self._decoder = _decoder(allphone=str(grammar), lw=2.0, beam=1e-20, pbeam=1e-20)
        self._of_source = lru_cache(maxsize=8)(lambda song: self._phones(song.audio, song.sampling_rate))
        self._ceiling = lru_cache(maxsize=8)(lambda song: self._error(song, song.resynthesis))

    def _phones(self, audio: np.ndarray, sampling_rate: int) -> list[str]:
        return recognise(self._decoder, audio, sampling_rate)

    def _error(self, song: Song, audio: np.ndarray) -> float:
        return error_rate(self._of_source(song), self._phones(audio, song.sampling_rate))

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "phone_error"."""
        return {"phone_error": Score(self._error(take.song, take.audio), self._ceiling(take.song))}
