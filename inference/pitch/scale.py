"""Scales: from a name, or from what is sung."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from modules.common.errors import ConfigError
from modules.dsp.semitones import to_semitones

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
DEGREES = {"maj": (0, 2, 4, 5, 7, 9, 11), "min": (0, 2, 3, 5, 7, 8, 10)}
AUTO, CHROMATIC = "auto", "chromatic"
# how well each semitone above the tonic fits a major and a minor key (Krumhansl and Kessler, 1982)
_PROFILES = {
    "maj": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "min": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
_NAME = re.compile(r"([A-Ga-g])([#b♯♭]?):?(maj|min)(?:or)?", re.I)


@dataclass(frozen=True)
class Scale:
    """Notes that a melody may have, in every octave."""

    name: str  # "C:maj", or "chromatic"
    notes: tuple[int, ...]  # 0 (C) to 11 (B), ascending

    def nearest(self, pitch: float) -> float:
        """The note, a MIDI number, that is nearest to ``pitch``; of two the lower."""
        octave = 12 * np.floor(pitch / 12)
        candidates = [octave + 12 * k + note for k in (-1, 0, 1) for note in self.notes]
        return float(min(candidates, key=lambda note: abs(note - pitch)))


def scale_names() -> list[str]:
    """Names of all keys, as :func:`parse_scale` reads them."""
    return [f"{tonic}:{kind}" for kind in DEGREES for tonic in NAMES]


def parse_scale(text: str) -> Scale | None:
    """Scale of a name as C:maj, F#:min or chromatic; None for auto.

    Raises:
        ConfigError: There is no such scale.
    """
    if text == AUTO:
        return None
    if text == CHROMATIC:
        return Scale(CHROMATIC, tuple(range(12)))
    found = _NAME.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"--scale must be a key as C:maj or F#:min, auto or chromatic, not {text[:40]!r}")
    letter, accidental, kind = found.groups()
    tonic = NAMES.index(letter.upper()) + {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[accidental.lower()]
    return _scale(tonic % 12, kind.lower())


def detect_scale(f0: np.ndarray) -> Scale:
    """The key whose profile agrees best with how long each note of the curve ``f0`` (N,), Hz, sounds."""
    pitch = to_semitones(f0)
    pitch = pitch[np.isfinite(pitch)]
    if len(pitch) == 0:
        return Scale(CHROMATIC, tuple(range(12)))
    durations = np.bincount(np.rint(pitch).astype(int) % 12, minlength=12)
    scores = {
        (tonic, kind): np.corrcoef(np.roll(profile, tonic), durations + 1e-9)[0, 1]
        for kind, profile in _PROFILES.items()
        for tonic in range(12)
    }
    tonic, kind = max(scores, key=lambda key: np.nan_to_num(scores[key]))
    return _scale(tonic, kind)


def _scale(tonic: int, kind: str) -> Scale:
    return Scale(f"{NAMES[tonic]}:{kind}", tuple(sorted((tonic + degree) % 12 for degree in DEGREES[kind])))
