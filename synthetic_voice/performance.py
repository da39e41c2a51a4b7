"""A performance: audio and its ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from modules.common.errors import ConfigError
from synthetic_voice.controls import articulate
from synthetic_voice.expression import GRID_RATE, loudness_curve, pitch_curve
from synthetic_voice.phones import PHONES, SILENCE
from synthetic_voice.score import MusicScore, Phone, generator
from synthetic_voice.singers import SyntheticSinger, find_singer
from synthetic_voice.voice import render

LEVEL = 0.1  # RMS of a vowel of medium loudness, -20 dBFS
PEAK = 0.9
RING = 0.06  # s of decay at the start of a rest, before digital silence
LEAD = 0.01  # s of attack at its end, after it
LOWEST_RATE = 8000  # Hz


@dataclass(frozen=True)
class Performance:
    """Audio of a score, with its exact pitch and phones."""

    audio: np.ndarray  # (T,) float32
    sampling_rate: int
    singer: SyntheticSinger
    score: MusicScore
    pitch: np.ndarray = field(repr=False)  # f0 in Hz every ms, through rests too

    @property
    def phones(self) -> tuple[Phone, ...]:
        """Phones that tile the clip: (start, end, name), times in s."""
        return self.score.phones

    def phone_at(self, times: np.ndarray) -> np.ndarray:
        """Phone names at ``times`` in s; silence outside of the clip."""
        names = np.array([SILENCE, *(phone.name for phone in self.phones), SILENCE])
        edges = [0.0, *(phone.end for phone in self.phones)]
        return names[np.searchsorted(edges, np.asarray(times, np.float64), side="right")]

    def voiced_at(self, times: np.ndarray) -> np.ndarray:
        """Whether the vocal folds vibrate at ``times`` in s (bool, same shape)."""
        voiced = [name for name, spec in PHONES.items() if spec.voice is not None]
        return np.isin(self.phone_at(times), voiced)

    def f0_at(self, times: np.ndarray) -> np.ndarray:
        """Exact f0 in Hz at ``times`` in s (float64), 0 where unvoiced."""
        times = np.asarray(times, np.float64)
        f0 = np.interp(times * GRID_RATE, np.arange(len(self.pitch)), self.pitch)
        return np.where(self.voiced_at(times), f0, 0.0)


def sing(
    score: MusicScore,
    singer: str | SyntheticSinger,
    seed: int = 0,
    sampling_rate: int = 44100,
    style: str | SyntheticSinger | None = None,
) -> Performance:
    """Synthesise ``score``: the same bytes for the same arguments on one machine.

    ``seed`` decides what a score leaves open: loudness and vibrato of each note, jitter, shimmer and
    noise. Vibrato, glides and dynamics are those of the singer ``style``, if it is given: with the style
    of the source, the result is the ground truth of a conversion, the same pitch curve in another voice.

    Rests are digital silence, but for the breaths, from 60 ms after the last sound to 10 ms before
    the next. The peak is 0.9 at most. Raises ConfigError for an unknown singer, a negative seed or
    a ``sampling_rate`` under 8000 Hz.
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
    _fade_rests(audio, score.phones, sampling_rate)
    peak = float(np.abs(audio).max(initial=0.0))
    if peak > PEAK:
        # slightly below the limit, which rounding must not exceed
        audio *= np.float32(0.999 * PEAK / peak)
    return Performance(audio, sampling_rate, singer, score, pitch)


def _fade_rests(audio: np.ndarray, phones: tuple[Phone, ...], sampling_rate: int) -> None:
    """Fade out the last sound in each rest, then silence it, in place."""
    for phone in phones:
        if phone.name == SILENCE:
            rest = audio[round(phone.start * sampling_rate) : round(phone.end * sampling_rate)]
            time = np.arange(len(rest), dtype=np.float32) / np.float32(sampling_rate)
            ring = 1 - time / np.float32(RING) if phone.start > 0 else 0 * time
            rest *= np.clip(np.maximum(ring, 1 - time[::-1] / np.float32(LEAD)), 0, 1)
