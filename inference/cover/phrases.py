"""Where somebody sings: elsewhere what a separator gives is instruments, which belong with the others."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

FRAME = 882  # samples, 20 ms
SOFT = 40.0  # dB below the loud parts of the vocals; what is softer is not singing
BLEED = 20.0  # dB below the song at that place; what is softer is what a separator leaves of instruments
_LOUD = 95  # percentile of the levels
_HOLD = 25  # frames, half a second that a phrase goes on before and after it is heard
_FADE = 3  # frames
_FLOOR = 1e-10  # power


class PowerMeter:
    """Power of blocks (T, 2) in frames of 20 ms."""

    def __init__(self) -> None:
        self._rest, self._powers = np.zeros(0), [np.zeros(0)]

    def feed(self, block: np.ndarray) -> None:
        """Add the next samples (T, 2), any number of them."""
        power = np.concatenate([self._rest, np.square(block, dtype=np.float64).mean(1)])
        whole = len(power) // FRAME * FRAME
        self._powers.append(power[:whole].reshape(-1, FRAME).mean(1))
        self._rest = power[whole:]

    def powers(self) -> np.ndarray:
        """Mean squares (F,), the last of what is left over."""
        rest = [self._rest.mean(keepdims=True)] if len(self._rest) else []
        return np.concatenate([*self._powers, *rest])


def singing(vocals: np.ndarray, song: np.ndarray) -> np.ndarray:
    """Gain (F,), 0 to 1, of the vocals: 1 in phrases, with some time around them, and 0 elsewhere.

    Both are powers (F,) of :class:`PowerMeter`.
    """
    if not len(vocals) or vocals.max() < _FLOOR:
        return np.zeros(len(vocals))
    loud = np.percentile(vocals[vocals > _FLOOR], _LOUD)
    heard = (vocals > loud * 10 ** (-SOFT / 10)) & (vocals > song * 10 ** (-BLEED / 10))
    wide = maximum_filter1d(heard.astype(np.float64), 2 * _HOLD + 1)
    return np.clip(uniform_filter1d(wide, 2 * _FADE + 1), 0, 1)


def sample_gain(gain: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Gain (stop - start, 1), float32, of samples, of one of frames (F,)."""
    if not len(gain):
        return np.zeros((stop - start, 1), np.float32)
    places = (np.arange(start, stop) + 0.5) / FRAME - 0.5
    return np.interp(places, np.arange(len(gain)), gain).astype(np.float32)[:, None]
