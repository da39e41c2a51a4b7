"""Text that is compared: given words, and what a recogniser wrote.

Punctuation, case, width and the script do not count. Chinese, Japanese and other
languages without spaces are compared by character, the others by word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from evaluation.conversions import NAN
from modules.common.errors import ConfigError

WITHOUT_SPACES = frozenset(("zh", "ja", "th", "lo", "my", "km", "bo"))
_BRACKETS = re.compile(r"[()\[\]<>]")  # around words that are said, though the normaliser drops them
_KATAKANA, _HIRAGANA = (range(first, first + 86) for first in (0x30A1, 0x3041))


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


def split_text(text: str, language: str) -> list[str]:
    """Words of ``text``, or its characters in a language without spaces, in lower case.

    English is normalised as Whisper's authors do it (Radford et al., 2022): numbers are
    digits, contractions are written out. Chinese becomes simplified, katakana hiragana.
    """
    text = _BRACKETS.sub(" ", text)
    if language == "en":
        words = _english()(text.replace("’", "'")).split()
        return [word for word in words if any(map(str.isalnum, word))]
    text = unicodedata.normalize("NFKC", text).lower()
    if language == "zh":
        text = _simplifier().convert(text)
    elif language == "ja":
        text = text.translate(dict(zip(_KATAKANA, _HIRAGANA, strict=True)))
    words = "".join(" " if unicodedata.category(letter)[0] in "PSZC" else letter for letter in text).split()
    return list("".join(words)) if language in WITHOUT_SPACES else words


def error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Substitutions, insertions and deletions per word of the reference; NaN if that is empty."""
    import jiwer

    return float(jiwer.wer(" ".join(reference), " ".join(hypothesis))) if reference else NAN


@lru_cache(maxsize=1)
def _english() -> Any:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})


@lru_cache(maxsize=1)
def _simplifier() -> Any:
    import opencc

    return opencc.OpenCC("t2s")
