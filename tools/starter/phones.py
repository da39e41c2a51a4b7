"""The 40 classes of the network: the phones of American English, and silence."""

from __future__ import annotations

import numpy as np

from vencoder.ppg import UNITS_PER_SECOND

SILENCE = "sil"
PHONES = (
    SILENCE,
    *"aa ae ah ao aw ay b ch d dh eh er ey f g hh ih iy jh k".split(),
    *"l m n ng ow oy p r s sh t th uh uw v w y z zh".split(),
)
INDEX = {phone: index for index, phone in enumerate(PHONES)}
UNKNOWN = -100  # what cross-entropy skips

# names that flite and pocketsphinx have beside these
_ARPABET = {"pau": SILENCE, "ax": "ah", "axr": "er", "ssil": SILENCE, "brth": SILENCE, "<sil>": SILENCE}

# espeak-ng's mnemonics for English; others have no label
_ESPEAK = {letter: letter for letter in "bdfgklmnprstvwz"} | {
    mnemonic: phone
    for phone, mnemonics in {
        "sil": "_ _: _! _| _^_ ? |",
        "aa": "A: A@ 0 A",
        "ae": "aa a &",
        "ah": "a# V @ @2 @5 @L 8",
        "er": "3 3:",
        "ao": "O: O O2 O@ o@",
        "aw": "aU",
        "ay": "aI aI@ aI3",
        "eh": "E e e@ E2",
        "ey": "eI",
        "ih": "I I2 i@ i@3 I#",
        "iy": "i i:",
        "ow": "oU o",
        "oy": "OI",
        "uh": "U U@",
        "uw": "u: u",
        "ch": "tS",
        "d": "d#",
        "dh": "D",
        "hh": "h",
        "jh": "dZ",
        "k": "x",
        "l": "l#",
        "ng": "N",
        "r": "r-",
        "sh": "S",
        "t": "t# t2",
        "th": "T",
        "w": "w#",
        "y": "j",
        "z": "z#",
        "zh": "Z",
    }.items()
    for mnemonic in mnemonics.split()
}


def of_espeak(mnemonic: str) -> int:
    """Class of one of espeak-ng's phoneme mnemonics, or :data:`UNKNOWN`."""
    return INDEX.get(_ESPEAK.get(mnemonic or "_", ""), UNKNOWN)


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
