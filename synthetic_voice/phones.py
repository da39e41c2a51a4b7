"""Acoustic targets of each phone that the synthetic singer can pronounce.

Vowel formants are the male averages of Peterson and Barney (1952), with the
/e o/ and the fourth formants of Hillenbrand et al. (1995); consonant targets
follow Klatt (1980). All are rounded. They describe a 17 cm vocal tract; a
singer scales them. Stops are two phones, closure ("tcl") and release ("t"), so
that every phone is steady inside.
"""

from __future__ import annotations

from dataclasses import dataclass

Formants = tuple[float, float, float, float]
Bump = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class PhoneSpec:
    """Acoustic targets of one phone. Levels are in dB re a sung vowel; None is off."""

    formants: Formants | None = None  # Hz; None: those of the next vowel
    pull: float = 1.0  # how far the formants keep their own target beside a vowel, 0 to 1
    voice: float | None = None  # level of the glottal pulses
    noise: float | None = None  # level of the noise made at the constriction
    aspiration: float | None = None  # level of the noise made at the glottis
    spectrum: tuple[Bump, ...] = ()  # the constriction noise: (centre Hz, width Hz, gain)
    decay: float | None = None  # s in which a burst falls by e; None: a noise that swells and fades
    lowpass: float = 20000.0  # Hz, cut-off of a closed mouth
    zero: float = 1200.0  # Hz, nasal antiformant; it cancels a pole at 1200 Hz
    seconds: float = 0.07  # duration; vowels last as long as their note


def _vowel(f1: float, f2: float, f3: float, f4: float) -> PhoneSpec:
    return PhoneSpec(formants=(f1, f2, f3, f4), voice=0.0)


_S: tuple[Bump, ...] = ((6200, 1100, 0.8), (8800, 2200, 1.0), (13000, 3000, 0.35))
_SH: tuple[Bump, ...] = ((2900, 600, 1.0), (4700, 1300, 0.8), (7500, 2500, 0.3))
_F: tuple[Bump, ...] = ((1500, 900, 0.4), (8000, 5000, 1.0))
_P: tuple[Bump, ...] = ((700, 500, 1.0), (2500, 2500, 0.4))
_T: tuple[Bump, ...] = ((4200, 1300, 1.0), (8000, 3000, 0.6))
_K: tuple[Bump, ...] = ((1900, 450, 1.0), (4200, 1200, 0.3))
_LIPS: Formants = (320, 1100, 2150, 3300)
_TEETH: Formants = (320, 1600, 2600, 3400)
_BACK: Formants = (300, 1990, 2650, 3300)

SILENCE, BREATH, SCHWA = "sil", "breath", "@"

PHONES: dict[str, PhoneSpec] = {
    "a": _vowel(730, 1090, 2440, 3400),
    "e": _vowel(470, 1990, 2600, 3500),
    "i": _vowel(270, 2290, 3010, 3600),
    "o": _vowel(500, 900, 2420, 3300),
    "u": _vowel(300, 870, 2240, 3250),
    SCHWA: _vowel(500, 1400, 2450, 3400),
    "m": PhoneSpec(formants=(280, 1150, 2130, 3200), voice=-5, lowpass=2200, zero=800),
    "n": PhoneSpec(formants=(280, 1450, 2470, 3300), voice=-5, lowpass=2600, zero=1700),
    "l": PhoneSpec(formants=(340, 1050, 2880, 3500), pull=0.8, voice=-4, lowpass=6000, seconds=0.065),
    "r": PhoneSpec(formants=(340, 1100, 1500, 3000), pull=0.9, voice=-4, lowpass=7000, seconds=0.07),
    "w": PhoneSpec(formants=(290, 650, 2150, 3200), pull=0.9, voice=-4, lowpass=6000, seconds=0.06),
    "y": PhoneSpec(formants=(260, 2150, 3020, 3600), pull=0.9, voice=-4, lowpass=9000, seconds=0.06),
    "s": PhoneSpec(formants=(320, 1390, 2530, 3400), pull=0.7, noise=-11, spectrum=_S, seconds=0.12),
    "sh": PhoneSpec(formants=(300, 1840, 2650, 3400), pull=0.7, noise=-9, spectrum=_SH, seconds=0.12),
    "f": PhoneSpec(formants=(340, 1100, 2080, 3300), pull=0.6, noise=-19, spectrum=_F, seconds=0.1),
    "h": PhoneSpec(aspiration=-17, seconds=0.08),
    "z": PhoneSpec(
        formants=(240, 1390, 2530, 3400),
        pull=0.8,
        voice=-8,
        noise=-18,
        spectrum=_S,
        lowpass=1000,
        seconds=0.09,
    ),
    "v": PhoneSpec(
        formants=(240, 1100, 2080, 3300), pull=0.8, voice=-7, noise=-26, spectrum=_F, lowpass=1200
    ),
    "bcl": PhoneSpec(formants=_LIPS, voice=-12, lowpass=400, seconds=0.055),
    "dcl": PhoneSpec(formants=_TEETH, voice=-12, lowpass=400, seconds=0.05),
    "gcl": PhoneSpec(formants=_BACK, voice=-12, lowpass=400, seconds=0.055),
    "b": PhoneSpec(
        formants=_LIPS, pull=0.7, voice=-6, noise=-17, spectrum=_P, decay=0.004, lowpass=3000, seconds=0.012
    ),
    "d": PhoneSpec(
        formants=_TEETH, pull=0.7, voice=-6, noise=-15, spectrum=_T, decay=0.005, lowpass=3000, seconds=0.014
    ),
    "g": PhoneSpec(
        formants=_BACK, pull=0.6, voice=-6, noise=-15, spectrum=_K, decay=0.007, lowpass=3000, seconds=0.018
    ),
    "pcl": PhoneSpec(formants=_LIPS, seconds=0.06),
    "tcl": PhoneSpec(formants=_TEETH, seconds=0.055),
    "kcl": PhoneSpec(formants=_BACK, seconds=0.06),
    "p": PhoneSpec(
        formants=_LIPS, pull=0.4, noise=-10, aspiration=-21, spectrum=_P, decay=0.006, seconds=0.03
    ),
    "t": PhoneSpec(
        formants=_TEETH, pull=0.4, noise=-6, aspiration=-21, spectrum=_T, decay=0.009, seconds=0.04
    ),
    "k": PhoneSpec(
        formants=_BACK, pull=0.4, noise=-6, aspiration=-21, spectrum=_K, decay=0.01, seconds=0.045
    ),
    SILENCE: PhoneSpec(pull=0.0),
    BREATH: PhoneSpec(formants=(600, 1500, 2500, 3500), aspiration=-24),
}

VOWELS = ("a", "e", "i", "o", "u", SCHWA)
CONSONANTS = tuple(name for name in PHONES if name not in (*VOWELS, SILENCE, BREATH) and name[1:] != "cl")


def spoken(consonant: str) -> tuple[str, ...]:
    """Phones of a written consonant: a stop has a closure first."""
    closure = f"{consonant}cl"
    return (closure, consonant) if closure in PHONES else (consonant,)
