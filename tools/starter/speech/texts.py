"""Texts for speech synthesis: sentences from Debian's fortunes, and words in random order.

Random words need no meaning, but have a variety of sounds: half of them are common, as in
speech, and half are rare. wordfreq lists them; where there are no fortunes they are all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from modules.common.errors import ConfigError

FORTUNES = Path("/usr/share/games/fortunes")
TOPICS = {
    "en": "wisdom literature science work people love food humorists platitudes education news",
    "zh": "chinese song100 tang300",
    "es": "es/sabiduria es/vida es/sentimientos es/refranes es/humanos es/ciencia es/arte",
    "it": "italia formiche leggi",
    "pt": "brasil",
}
PACKAGES = "fortunes fortunes-min fortunes-zh fortunes-es fortunes-it fortunes-br"
LANGUAGES = ("en", "zh", "ja", "es", "fr", "it", "pt", "hi")
SHORTEST, LONGEST = 4, 16  # words of a sentence
COMMON, RARE = 200, 20000  # the most frequent words
_LATIN = r"[^\W\d_]+(?:'[^\W\d_]+)?"
_SCRIPTS = {"zh": r"[\u4e00-\u9fff]{1,4}", "ja": r"[\u3040-\u30ff\u4e00-\u9fff]+", "hi": r"[\u0900-\u0963]+"}


def sentences(language: str = "en") -> list[str]:
    """Sentences of plain words in Debian's fortunes, sorted; raises ConfigError if they are missing."""
    paths = [FORTUNES / topic for topic in TOPICS[language].split()]
    paths = [path if path.exists() else path.with_name(f"{path.name}.fortunes") for path in paths]
    if not all(path.exists() for path in paths):
        raise ConfigError(f"{FORTUNES} is not complete; apt-get install {PACKAGES}")
    text = "\n%\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)
    said = " ".join(line if line.strip() != "%" else "." for line in text.splitlines() if "--" not in line)
    pieces = {" ".join(piece.split()) for piece in re.split(r"(?<=[.!?])\s|(?<=[。！？])", said)}
    return sorted(filter(_plain_chinese if language == "zh" else _plain, pieces))


def _plain(piece: str) -> bool:
    return (
        bool(re.fullmatch(r"[^\W\d_a-z]([^\W\d_]|[ ',])+[.!?]", piece))
        and not piece.isupper()
        and SHORTEST <= len(piece.split()) <= LONGEST
    )


def _plain_chinese(piece: str) -> bool:
    return bool(re.fullmatch(r"([\u4e00-\u9fff]{2,}，?)+[。！？]", piece)) and 8 <= len(piece) <= 32


@cache
def _words(language: str) -> list[str]:
    """Words, the most frequent first."""
    from wordfreq import top_n_list

    script = re.compile(_SCRIPTS.get(language, _LATIN))
    return [word for word in top_n_list(language, RARE) if script.fullmatch(word)]


def random_sentences(rng: np.random.Generator, language: str = "en") -> Iterator[str]:
    """Yield sentences of five to eleven words indefinitely; equal states of ``rng`` give equal sentences."""
    known = _words(language)
    space, comma, stop = (
        ("", "、" if language == "ja" else "，", "。") if language in ("zh", "ja") else (" ", ",", ".")
    )
    while True:
        ranks = [COMMON if rng.random() < 0.5 else len(known) for _ in range(rng.integers(5, 12))]
        words = [known[rng.integers(rank)] for rank in ranks]
        if len(words) > 7:
            words[4] += comma
        yield space.join(words) + stop


def texts(rng: np.random.Generator, language: str) -> Iterator[str]:
    """Yield sentences indefinitely; every other one is random words, all where there are no fortunes."""
    known = sentences(language) if language in TOPICS else []
    random = random_sentences(rng, language)
    while True:
        yield known[rng.integers(len(known))] if known and rng.random() < 0.5 else next(random)
