"""Songs of the synthetic singers, as clean as can be and worse, with their exact pitch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.signal import fftconvolve

from synthetic_voice import SINGERS, Performance, SyntheticSinger, compose, sing
from synthetic_voice.controls import articulate
from synthetic_voice.expression import GRID_RATE, grid_times, loudness_curve, pitch_curve
from synthetic_voice.performance import LEVEL
from synthetic_voice.score import generator
from synthetic_voice.voice import render

RATE, HOP = 44100, 512
REVERB = 0.8  # s until it has decayed by 60 dB
WET = -6.0  # dB of the reverberation re the direct sound
BREATH = -12.0  # dB of breath under the voice re a vowel; singers have -29 to -38
FRY = 0.35  # s before the end of a phrase
_UP = ("bruno", "tomas", "noor")  # two octaves above their range is still sung by somebody
_DOWN = ("bruno", -17)  # who sings lowest, and by how many semitones lower: to 41 Hz
HISS = -60.0  # dB of an empty room re full scale


@dataclass(frozen=True, eq=False)
class KnownSong:
    """Sound and pitch."""

    audio: np.ndarray  # (T,)
    f0: np.ndarray  # (N,), Hz, 0 where it has no pitch
    ignored: np.ndarray  # (N,), frames that are neither: single pulses of vocal fry


def songs(seconds: float) -> dict[str, list[KnownSong]]:
    """Songs by condition, of ``seconds`` for each singer."""
    clean = [_known(sing(compose(name, seconds, 1), name, 1)) for name in SINGERS]
    return {
        "clean": clean,
        "reverb": [_changed(song, _reverberate) for song in clean],
        **{
            f"noise {level} dB": [_changed(song, partial(_add_noise, ratio=level)) for song in clean]
            for level in (20, 10, 0)
        },
        "breath": [
            _known(sing(compose(name, seconds, 1), replace(singer, breathiness=BREATH), 1))
            for name, singer in SINGERS.items()
        ],
        "fry": [_fry(name, singer, seconds) for name, singer in SINGERS.items()],
        "2 octaves up": [_known(sing(compose(name, seconds, 1).transposed(24), name, 1)) for name in _UP],
    }


def extremes(seconds: float) -> dict[str, list[KnownSong]]:
    """Songs beyond what most people sing, and sounds without pitch, of ``seconds`` for each singer."""
    name, key = _DOWN
    room = np.random.default_rng(0).standard_normal(round(seconds * RATE)) * 10 ** (HISS / 20)
    silent = np.zeros(len(room) // HOP)
    return {
        "high": [_known(sing(compose(name, seconds, 1).transposed(24), name, 1)) for name in _UP],
        "low": [_known(sing(compose(name, seconds, 1).transposed(key), name, 1))],
        "whisper": [_whisper(name, singer, seconds) for name, singer in SINGERS.items()],
        "room": [KnownSong(room.astype(np.float32), silent, silent > 0)],
    }


def _known(song: Performance) -> KnownSong:
    f0 = song.f0_at(np.arange(len(song.audio) // HOP) * HOP / RATE)
    return KnownSong(song.audio, f0, np.zeros(len(f0), bool))


def _changed(song: KnownSong, change: Callable[[np.ndarray], np.ndarray]) -> KnownSong:
    return replace(song, audio=change(song.audio).astype(np.float32))


def _reverberate(audio: np.ndarray) -> np.ndarray:
    time = np.arange(round(REVERB * RATE)) / RATE
    tail = np.random.default_rng(0).standard_normal(len(time)) * 10 ** (-3 * time / REVERB)
    tail *= 10 ** (WET / 20) / np.sqrt(np.square(tail).sum())
    return audio + fftconvolve(audio, tail)[: len(audio)]


def _add_noise(audio: np.ndarray, ratio: float) -> np.ndarray:
    """White noise, ``ratio`` dB below the song."""
    level = np.sqrt(np.square(audio).mean()) * 10 ** (-ratio / 20)
    return audio + level * np.random.default_rng(0).standard_normal(len(audio))


def _whisper(name: str, singer: SyntheticSinger, seconds: float) -> KnownSong:
    """Noise at the glottis in place of its pulses."""
    score = compose(name, seconds, 1)
    loudness, pitch = loudness_curve(score, singer, 1), pitch_curve(score, singer, 1)
    controls = articulate(score.phones, seconds, pitch, loudness)
    breath = replace(controls, voice=0 * controls.voice, aspiration=controls.aspiration + controls.voice)
    audio = LEVEL * render(breath, singer, RATE, round(seconds * RATE), generator(1, 3))
    silent = np.zeros(len(audio) // HOP)
    return KnownSong(audio, silent, silent > 0)


def _fry(name: str, singer: SyntheticSinger, seconds: float) -> KnownSong:
    """Every phrase ends in single pulses, 25 to 55 of them in a second."""
    score = compose(name, seconds, 1)
    times, pitch = grid_times(seconds), pitch_curve(score, singer, 1)
    rng, creaky = np.random.default_rng(0), np.zeros(len(times), bool)
    for phrase in score.phrases:
        creaky |= (times > phrase[-1].end - FRY) & (times < phrase[-1].end + 0.05)
    rates = np.repeat(rng.uniform(25, 55, len(times) // 30 + 1), 30)[: len(times)]
    pitch = np.where(creaky, rates, pitch)
    controls = articulate(score.phones, seconds, pitch, loudness_curve(score, singer, 1))
    audio = LEVEL * render(controls, singer, RATE, round(seconds * RATE), generator(1, 3))
    song = _known(Performance(audio, RATE, singer, score, pitch))
    frames = np.arange(len(song.f0)) * HOP / RATE
    near = np.interp(frames, times, creaky.astype(float)) > 0
    near |= np.interp(frames - 0.03, np.arange(len(times)) / GRID_RATE, creaky.astype(float)) > 0
    return KnownSong(song.audio, np.where(near, 0.0, song.f0), near & (song.f0 > 0))
