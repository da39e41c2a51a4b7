"""Sounds and streams of the tests of live conversion."""

import numpy as np

from inference.realtime.engine import RealtimeEngine

RATE = 44100


def harmonic(f0: np.ndarray) -> np.ndarray:
    """A bright tone of pitch ``f0`` (T,), Hz."""
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    return (0.1 * sum(np.sin(k * phase) / k for k in range(1, 20))).astype(np.float32)


def tone(seconds: float, hertz: float = 200.0) -> np.ndarray:
    return harmonic(np.full(round(seconds * RATE), hertz))


def legato(seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    notes = np.interp(time % 4, [0, 1, 1.15, 2, 2.15, 3, 3.15, 4], [0, 0, 4, 4, 7, 7, 0, 0])
    return harmonic(200 * 2 ** (notes / 12))


def stream(engine: RealtimeEngine, audio: np.ndarray, change=lambda block: None) -> np.ndarray:
    """What the engine makes of ``audio``, as it comes out; ``change`` is called before each block."""
    parts = []
    for number, start in enumerate(range(0, len(audio) - engine.block + 1, engine.block)):
        change(number)
        parts.append(engine.process(audio[start : start + engine.block]))
    return np.concatenate(parts)


def levels(audio: np.ndarray, seconds: float = 0.02) -> np.ndarray:
    """Level of each window, dB."""
    width = round(seconds * RATE)
    power = np.square(audio[: len(audio) // width * width].reshape(-1, width), dtype=np.float64).mean(1)
    return 10 * np.log10(power + 1e-12)


def steps(audio: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Change of level at each place, dB, from the 20 ms before it to those after it."""
    width = round(0.02 * RATE)
    power = np.pad(np.cumsum(np.square(audio, dtype=np.float64)), (1, 0))
    before = power[places] - power[places - width]
    return 10 * np.log10((power[places + width] - power[places] + 1e-12) / (before + 1e-12))


def brightness(audio: np.ndarray, places: np.ndarray) -> float:
    """Mean power above 14 kHz within 3 ms of the places."""
    from scipy.signal import butter, sosfilt

    high = np.square(sosfilt(butter(8, 14000, "high", fs=RATE, output="sos"), audio))
    return float(np.mean([high[place - 128 : place + 128].mean() for place in places]))
