"""A performance: sound, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modules.common.errors import ConfigError
from synthetic_voice.controls import articulate
from synthetic_voice.expression import GRID_RATE, loudness_curve, pitch_curve
from synthetic_voice.phones import PHONES, SILENCE
from synthetic_voice.score import Note, Phone, Score, generator
from synthetic_voice.singers import Singer, find_singer
from synthetic_voice.voice import render

LEVEL = 0.1  # RMS of a vowel of medium loudness, -20 dBFS
PEAK = 0.9
RING = 0.06  # s at the start of a rest that are not yet digital silence
LEAD = 0.01  # s at its end that are no longer
LOWEST_RATE = 8000  # Hz


@dataclass(frozen=True)
class Performance:
    """What was sung, and what is known about it."""

    audio: np.ndarray  # (T,) float32
    sampling_rate: int
    singer: Singer
    score: Score
    pitch: np.ndarray = field(repr=False)  # f0 in Hz every ms, through rests too

    @property
    def phones(self) -> tuple[Phone, ...]:
        """Phones that tile the clip: (start, end, name), times in s."""
        return self.score.phones

    @property
    def notes(self) -> tuple[Note, ...]:
        """The notes as written."""
        return self.score.notes

    def phone_at(self, times: np.ndarray) -> np.ndarray:
        """Return the phone names at ``times`` in s; silence outside of the clip."""
        names = np.array([SILENCE, *(phone.name for phone in self.phones), SILENCE])
        edges = [0.0, *(phone.end for phone in self.phones)]
        return names[np.searchsorted(edges, np.asarray(times, np.float64), side="right")]

    def voiced_at(self, times: np.ndarray) -> np.ndarray:
        """Return whether the folds vibrate at ``times`` in s (bool, same shape)."""
        voiced = [name for name, spec in PHONES.items() if spec.voice is not None]
        return np.isin(self.phone_at(times), voiced)

    def f0_at(self, times: np.ndarray) -> np.ndarray:
        """Return the exact f0 in Hz at ``times`` in s (float64), 0 where unvoiced."""
        times = np.asarray(times, np.float64)
        f0 = np.interp(times * GRID_RATE, np.arange(len(self.pitch)), self.pitch)
        return np.where(self.voiced_at(times), f0, 0.0)

    def truth(self, step: float = 0.01) -> dict[str, Any]:
        """Return what is known as plain data for JSON, f0 every ``step`` s from 0 on."""
        f0 = self.f0_at(np.arange(0, self.score.seconds, step))
        return {
            "singer": self.singer.name,
            "sampling_rate": self.sampling_rate,
            "seconds": self.score.seconds,
            "phones": [[round(start, 6), round(end, 6), name] for start, end, name in self.phones],
            "notes": [[note.start, note.end, note.pitch] for note in self.notes],
            "f0_step": step,
            "f0": [round(float(hz), 3) for hz in f0],
        }


def sing(
    score: Score,
    singer: str | Singer,
    seed: int = 0,
    sampling_rate: int = 44100,
    style: str | Singer | None = None,
) -> Performance:
    """Return ``score`` sung by ``singer``: the same bytes for the same arguments on one machine.

    Args:
        score: What to sing.
        singer: Whose voice.
        seed: Chooses what a score leaves open: note by note loudness and
            vibrato, the irregularities, the noise.
        sampling_rate: Hz.
        style: Whose vibrato, glides and dynamics; those of ``singer`` if None.
            With the style of another, ``singer`` is the true answer of a
            conversion: the very same pitch curve, another voice.

    Rests are digital silence, but for the breaths, from 60 ms after the last
    sound to 10 ms before the next. The peak is 0.9 at most.

    Raises:
        ConfigError: ``singer`` or ``style`` is unknown, ``seed`` negative, or
            ``sampling_rate`` under 8000.
    """
    singer = find_singer(singer)
    style = singer if style is None else find_singer(style)
    if sampling_rate < LOWEST_RATE:
        raise ConfigError(f"a sampling rate of {sampling_rate} Hz is too low; give {LOWEST_RATE} or more")
    pitch = pitch_curve(score, style, seed)
    loudness = loudness_curve(score, style, seed)
    controls = articulate(score.phones, score.seconds, pitch, loudness)
    samples = round(score.seconds * sampling_rate)
    audio = LEVEL * render(controls, singer, sampling_rate, samples, generator(seed, 3))
    _hush(audio, score.phones, sampling_rate)
    peak = float(np.abs(audio).max(initial=0.0))
    if peak > PEAK:
        # a little less than the limit, which rounding must not pass
        audio *= np.float32(0.999 * PEAK / peak)
    return Performance(audio, sampling_rate, singer, score, pitch)


def _hush(audio: np.ndarray, phones: tuple[Phone, ...], sampling_rate: int) -> None:
    """Let the last sound ring out in each rest, then silence it for good, in place."""
    for phone in phones:
        if phone.name == SILENCE:
            rest = audio[round(phone.start * sampling_rate) : round(phone.end * sampling_rate)]
            time = np.arange(len(rest), dtype=np.float32) / np.float32(sampling_rate)
            ring = 1 - time / np.float32(RING) if phone.start > 0 else 0 * time
            rest *= np.clip(np.maximum(ring, 1 - time[::-1] / np.float32(LEAD)), 0, 1)
