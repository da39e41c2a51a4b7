"""Resampling of a stream by a ratio that may change a little all the time."""

from __future__ import annotations

import numpy as np
import soxr

LARGEST = 0.005  # relative change of the ratio, up or down
_SLEW = 0.02  # s, over which a change is made


class StreamResampler:
    """Resamples a stream from ``source_rate`` to ``target_rate``, Hz, a little faster or slower if asked to.

    soxr's variable-rate filter: what comes out lags by :attr:`lag` s, the same for every block.
    """

    def __init__(self, source_rate: float, target_rate: float) -> None:
        self._from, self._to = source_rate, target_rate
        self._stream = soxr.ResampleStream(
            source_rate * (1 + LARGEST), target_rate, 1, dtype="float32", vr=True
        )
        self._stream.set_io_ratio(source_rate, target_rate)
        self.lag = self._lag()

    def _lag(self) -> float:
        """Fill the filter with silence; return by how much it then lags, s."""
        fed = int(self._from * 0.1)
        given = len(self._stream.resample_chunk(np.zeros(fed, np.float32)))
        return fed / self._from - given / self._to

    def set_speed(self, change: float) -> None:
        """Let the stream pass faster by the share ``change``, up to ``LARGEST``; slower if negative."""
        change = min(max(change, -LARGEST), LARGEST)
        self._stream.set_io_ratio(self._from * (1 + change), self._to, round(_SLEW * self._to))

    def push(self, audio: np.ndarray) -> np.ndarray:
        """Resample the next samples (T,); return those that are ready."""
        ready: np.ndarray = self._stream.resample_chunk(np.ascontiguousarray(audio, np.float32))
        return ready


class SameRate:
    """In place of a resampler where both rates are the same and stay so."""

    lag = 0.0

    def push(self, audio: np.ndarray) -> np.ndarray:
        """``audio`` as it is."""
        return audio
