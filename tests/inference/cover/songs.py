"""Songs that tests make of parts that they know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from separation.base import RATE
from tests.support.golden_cases import voice


def sung(seconds: float, hz: float = 220.0) -> np.ndarray:
    """A voice (T,) with half a second of silence at each end."""
    audio = np.asarray(voice(seconds, RATE, hz), np.float32) * 0.5
    rest = RATE // 2
    audio[:rest] = audio[-rest:] = 0
    return audio


def chords(seconds: float) -> np.ndarray:
    """Accompaniment (T, 2) of which nothing stands in the centre: other notes left and right."""
    time = np.arange(round(seconds * RATE)) / RATE
    decay = np.exp(-4 * (time % 0.5))
    sides = [sum(np.sin(2 * np.pi * hz * time) for hz in notes) for notes in ((277, 831), (349, 1047))]
    return (0.05 * np.stack(sides, 1) * decay[:, None]).astype(np.float32)


def write_mix(path: Path, seconds: float = 3.0, pan: tuple[float, float] = (1.0, 1.0)) -> Path:
    """Write a voice over chords as floats; return the path."""
    mix = sung(seconds)[:, None] * np.array(pan, np.float32) + chords(seconds)
    soundfile.write(path, mix, RATE, "FLOAT")
    return path


def decibels(audio: np.ndarray) -> float:
    """Level, dB below full scale."""
    return float(10 * np.log10(np.square(audio, dtype=np.float64).mean() + 1e-20))
