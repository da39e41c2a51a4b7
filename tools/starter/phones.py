"""The classes of the phones of all languages: Kokoro's alphabet, which is IPA, folded.

Length, nasality and stress are no classes of their own. Aspiration is the class h after
the consonant, palatalisation is j after it.
"""

from __future__ import annotations

import numpy as np

from vencoder.ppg import UNITS_PER_SECOND

# in each group: a class, and the letters that are folded into it
_SILENCE = ['sil ;:,.!?—…"()“”']
_VOWELS = """
i  |y  |ɨ  |ɯ  |u  |ɪ ᵻ  |ʊ  |e  |ø œ  |ə ʌɐᵊ  |ɤ  |o  |ɛ  |ɜ ɚ  |ɔ  |æ  |a  |ɑ ɒ
eɪ A  |aɪ I  |oʊ OQ  |aʊ W  |ɔɪ Y
"""
_VOICED = """
b  |d  |ɖ  |ɡ g  |m  |n ɳ  |ɲ  |ŋ ɴ  |v ʋ  |β  |ð  |z  |ʒ  |ɣ ɰ  |ʁ  |ʣ  |ʤ ɟ  |ʥ
l  |ʎ  |ɹ ɻ  |r  |ɾ ɽT  |j ʝʲ  |w  |ɥ
"""
_VOICELESS = """
p  |t  |ʈ  |k q  |ʔ  |f ɸ  |θ  |s S  |ʃ  |ʂ  |ɕ  |ç  |x χ  |h ʰ  |ʦ  |ʧ c  |ʨ  |ꭧ
"""


def _rows(text: str) -> list[str]:
    return [row.strip() for row in text.replace("\n", "|").split("|") if row.strip()]


SILENCE = "sil"
VOWELS = tuple(row.split()[0] for row in _rows(_VOWELS))
VOICED = tuple(row.split()[0] for row in _rows(_VOICED))  # consonants
VOICELESS = tuple(row.split()[0] for row in _rows(_VOICELESS))
PHONES = (SILENCE, *VOWELS, *VOICED, *VOICELESS)
INDEX = {phone: index for index, phone in enumerate(PHONES)}
UNKNOWN = -100  # what cross-entropy skips

# class of each letter; LATER and BEFORE belong to the phone after and before them
LETTERS = {
    letter: INDEX[row.split()[0]]
    for row in _SILENCE + _rows(_VOWELS) + _rows(_VOICED) + _rows(_VOICELESS)
    for letter in (row.split()[0] if len(row.split()[0]) == 1 else "") + "".join(row.split()[1:])
}
LATER = "ˈˌ"
BEFORE = "ː\u0303ᵝ→↗↘↓"

# what is one letter in Kokoro's alphabet and two in espeak-ng's, tied by ^
TIED = {
    "a^ɪ": "I",
    "a^ʊ": "W",
    "e^ɪ": "A",
    "o^ʊ": "O",
    "ə^ʊ": "Q",
    "ɔ^ɪ": "Y",
    "d^z": "ʣ",
    "d^ʒ": "ʤ",
    "s^s": "S",
    "t^s": "ʦ",
    "t^ʃ": "ʧ",
}

_ARPABET = dict(
    pair.split(":")
    for pair in """
aa:ɑ ae:æ ah:ə ao:ɔ aw:aʊ ax:ə axr:ɜ ay:aɪ ch:ʧ dh:ð eh:ɛ er:ɜ ey:eɪ g:ɡ hh:h ih:ɪ iy:i jh:ʤ ng:ŋ
ow:oʊ oy:ɔɪ r:ɹ sh:ʃ th:θ uh:ʊ uw:u y:j zh:ʒ
""".split()
)


def of_ipa(name: str) -> int:
    """Class of a phone that espeak-ng calls ``name`` in IPA, or :data:`UNKNOWN`; "" is silence."""
    for tied, letter in TIED.items():
        name = name.replace(tied, letter).replace(tied.replace("^", ""), letter)
    known = [LETTERS[letter] for letter in name if letter in LETTERS]
    return known[0] if known else UNKNOWN if name else INDEX[SILENCE]


def of_arpabet(name: str) -> int:
    """Class of a phone as flite or pocketsphinx call it; all but speech is silence."""
    name = name.lower()
    return INDEX.get(_ARPABET.get(name, name), INDEX[SILENCE])


def per_unit(ends: np.ndarray, classes: np.ndarray, n_units: int) -> np.ndarray:
    """Class (U,), int16, at the middle of every unit, from those (N,) of phones and their ends (N,), s.

    The ends rise; after the last phone there is silence.
    """
    times = (np.arange(n_units) + 0.5) / UNITS_PER_SECOND
    which = np.searchsorted(ends, times, side="right")
    return np.append(classes, INDEX[SILENCE])[np.minimum(which, len(classes))].astype(np.int16)
