"""Kokoro-82M, a neural synthesizer, with the times of its phones.

It makes the sound from a duration of every letter, a pitch and an energy, which it finds
itself; others make it sing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from tools.starter import phones
from tools.starter.speech.graph import PROSODY, load_parts

RATE = 24000
FRAME = 600 / RATE  # s, unit of the durations
CURVE_RATE = 80  # values of pitch and energy in a second: two for a frame
LEAD = 0.055  # s by which the sound comes before what the durations say; see docs/starter.md
_QUIET = -42.0  # dB below the loudest units
_PAUSE = 7  # units; closures of stops are shorter


@dataclass(frozen=True, eq=False)
class Prosody:
    """How N letters of F frames are said."""

    durations: np.ndarray  # (N + 2,) frames, whole numbers, with the silences around
    pitch: np.ndarray  # (2 F,) Hz, low where there is no voice
    energy: np.ndarray  # (2 F,)


class Kokoro:
    """The synthesizer; one for each process, see :func:`load_kokoro`."""

    def __init__(self) -> None:
        self._prosody, self._sound = load_parts()
        vocabulary = (resources.files("hibari") / "assets" / "vocab.json").read_text(encoding="utf-8")
        self._vocabulary = json.loads(vocabulary)

    def known(self, letters: str) -> str:
        """``letters`` without those that Kokoro lacks."""
        return "".join(letter for letter in letters if letter in self._vocabulary)

    def prosody(self, letters: str, style: np.ndarray, speed: float = 1.0) -> Prosody:
        """How letters are spoken in a ``style`` (510, 256); ``speed`` 1 is normal."""
        inputs = self._inputs(letters, style) | {"speed": np.array([speed], np.float32)}
        return Prosody(*(np.ravel(value) for value in self._prosody.run(None, inputs)))

    def say(self, letters: str, style: np.ndarray, prosody: Prosody) -> np.ndarray:
        """Sound (T,) at RATE."""
        values = (prosody.durations, prosody.pitch, prosody.energy)
        given = {name: value[None].astype(np.float32) for name, value in zip(PROSODY, values, strict=True)}
        return np.asarray(self._sound.run(None, self._inputs(letters, style) | given)[0]).ravel()

    def _inputs(self, letters: str, style: np.ndarray) -> dict[str, np.ndarray]:
        tokens = [self._vocabulary[letter] for letter in letters]
        return {"tokens": np.array([[0, *tokens, 0]], np.int64), "style": style[None, len(tokens) - 1]}


@cache
def load_kokoro() -> Kokoro:
    """The synthesizer of this process."""
    return Kokoro()


def timed(letters: str, durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """End in s and class of every phone, of N letters and their durations (N + 2,) in frames.

    Marks of stress belong to the phone after them, those of length and tone to the one before;
    a space is half of each.
    """
    silent = phones.INDEX[phones.SILENCE]
    classes: list[int] = [silent]
    frames: list[float] = [float(durations[0])]
    owed = 0.0  # frames of the next phone
    for letter, count in zip(letters, durations[1:-1].tolist(), strict=True):
        if letter in phones.LATER:
            owed += count
        elif letter == " ":
            frames[-1] += count / 2
            owed += count / 2
        elif letter in phones.BEFORE:
            frames[-1] += count
        else:
            classes.append(phones.LETTERS[letter])
            frames.append(owed + count)
            owed = 0.0
    classes.append(silent)
    frames.append(owed + float(durations[-1]))
    return np.cumsum(frames) * FRAME - LEAD, np.array(classes)


def with_pauses(classes: np.ndarray, audio: np.ndarray, rate: int) -> np.ndarray:
    """``classes`` (U,) of the units of ``audio`` (T,), but silence where there is no sound for long.

    The durations count most of a pause to the phone before it.
    """
    step = rate // 50
    padded = np.pad(audio, (0, max(0, len(classes) * step - len(audio))))[: len(classes) * step]
    level = 10 * np.log10(np.square(padded.reshape(len(classes), step)).mean(1) + 1e-12)
    quiet = level < np.percentile(level, 95) + _QUIET
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet, [0]])))
    result = classes.copy()
    for start, end in edges.reshape(-1, 2):
        if end - start >= _PAUSE:
            result[start:end] = phones.INDEX[phones.SILENCE]
    return result
