"""Intelligibility: words and phones that survive a conversion, by a speech recogniser.

pocketsphinx includes its US English model in its package. It was trained on speech
and recognises little of singing, so every number stands beside that of the
unconverted song, or of a resynthesis that preserves its words.
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

from evaluation.conversions import NAN, SourceSong
from evaluation.evaluators.base import EvalInputs, ReferencedEvaluator, Unavailable, importing
from modules.common.errors import ConfigError
from modules.dsp.audio import resample

logger = logging.getLogger(__name__)

RATE = 16000  # Hz
MIN_SAMPLES = RATE // 10
_NON_SPEECH = re.compile(r"[<+].*|SIL|\[.*")  # its names of silence, breath and noise
_VARIANT = re.compile(r"\(\d+\)$")  # the(2): the second pronunciation


def read_text(text: str) -> str:
    """``text`` itself, or the content of the .txt file that it names.

    Raises:
        ConfigError: The file cannot be read.
    """
    if not text.lower().endswith(".txt"):
        return text
    try:
        return Path(text).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--text: {text} cannot be read as UTF-8 text: {error}") from None


def words_of(text: str) -> list[str]:
    """Words of ``text``, in lower case, without punctuation."""
    return re.findall(r"[^\W_]+(?:['-][^\W_]+)*", text.replace("’", "'").lower())


def recognise(decoder: Any, audio: np.ndarray, sampling_rate: int) -> list[str]:
    """Words or phones that a decoder recognises in ``audio`` (T,)."""
    audio = resample(audio, sampling_rate, RATE)
    if len(audio) < MIN_SAMPLES:
        return []
    decoder.reinit_feat()  # or the noise estimate of the previous recording is subtracted from this one
    decoder.start_utt()
    samples = (np.clip(audio, -1, 1) * 32767).astype("<i2")
    decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
    decoder.end_utt()
    found = [_VARIANT.sub("", segment.word) for segment in decoder.seg() or ()]
    return [word for word in found if not _NON_SPEECH.fullmatch(word)]


def error_rate(reference: Iterable[str], hypothesis: Iterable[str]) -> float:
    """Substitutions, insertions and deletions per word of the reference; NaN if that is empty."""
    import jiwer

    reference = list(reference)
    return float(jiwer.wer(" ".join(reference), " ".join(hypothesis))) if reference else NAN


def _decoder(**settings: Any) -> Any:
    with importing("jiwer"):
        import jiwer  # noqa: F401
    with importing("pocketsphinx"):
        from pocketsphinx import Decoder
    return Decoder(**{"lm": None, "samprate": RATE, "loglevel": "FATAL", **settings})


def _uniform_unigrams(words: Sequence[str]) -> str:
    """Language model in ARPA format: these words, all equally likely, in any order."""
    share = -math.log10(len(words) + 1)
    entries = ["-99 <s>", *(f"{share:.4f} {word}" for word in ("</s>", *words))]
    return "\n".join(["\\data\\", f"ngram 1={len(entries)}", "", "\\1-grams:", *entries, "", "\\end\\", ""])


class WordErrors(ReferencedEvaluator):
    """Word error rate of a recogniser whose vocabulary is the words of the given lyrics, in any order."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        if not inputs.texts:
            raise Unavailable("give the words of the songs, in English: --text WORDS")
        dictionary = _decoder()
        vocabulary = sorted({word for text in inputs.texts for word in words_of(text)})
        known = [word for word in vocabulary if dictionary.lookup_word(word) is not None]
        unknown = [word for word in vocabulary if word not in known]
        if not known:
            raise Unavailable(f"the recogniser knows no word of --text: {' '.join(unknown) or 'it is empty'}")
        if unknown:
            logger.warning("--text: the recogniser knows no %s; they count as errors", ", ".join(unknown))
        # a unigram model: the equivalent grammar is a hundred times slower
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "words.arpa"
            model.write_text(_uniform_unigrams(known), encoding="utf-8")
            self._decoder = _decoder(lm=str(model))

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Number "word_error"."""
        recognised = recognise(self._decoder, audio, song.sampling_rate)
        return {"word_error": error_rate(words_of(song.text), recognised)}


class PhoneErrors(ReferencedEvaluator):
    """Phone error rate of a result against the phones recognised in its source, beside a resynthesis."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        with importing("pocketsphinx"):
            from pocketsphinx import get_model_path
        grammar = Path(get_model_path()) / "en-us" / "en-us-phone.lm.bin"
        # weight and beams as in pocketsphinx' own documentation of phoneme recognition
        self._decoder = _decoder(allphone=str(grammar), lw=2.0, beam=1e-20, pbeam=1e-20)
        self._of_source = lru_cache(maxsize=8)(
            lambda song: recognise(self._decoder, song.audio, song.sampling_rate)
        )

    def reference(self, song: SourceSong) -> np.ndarray:
        """WORLD resynthesis of the song (T,)."""
        return song.resynthesis

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Number "phone_error"."""
        recognised = recognise(self._decoder, audio, song.sampling_rate)
        return {"phone_error": error_rate(self._of_source(song), recognised)}
