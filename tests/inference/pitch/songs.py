"""A song of phrases with pauses between, each one slice."""

import numpy as np

from tests.inference.tiny import RATE

PHRASE = 6.0  # s, with the pause at its end


def phrases(count: int = 3, pause: float = 0.5) -> np.ndarray:
    """Vibrato tones around 220, 250, 280 Hz, ... (T,)."""
    time = np.arange(round((PHRASE - pause) * RATE)) / RATE
    sound = []
    for number in range(count):
        phase = 2 * np.pi * np.cumsum((220 + 30 * number) * 2 ** (np.sin(35 * time) / 40)) / RATE
        sound += [sum(np.sin(k * phase) / k for k in range(1, 6)) * 0.1, np.zeros(round(pause * RATE))]
    return np.concatenate(sound).astype(np.float32)
