"""Units of the end of a stream, on the stream's own clock.

Unit u begins at sample 320 u at 16 kHz, wherever a block begins. So units that are known can be kept.
"""

from __future__ import annotations

import math

import numpy as np

from inference.pipeline import SongConverter
from modules.config.shared import FeatureSection
from modules.dsp.align import nearest_units
from modules.dsp.audio import resample

_EDGE = 0.02  # s; at the end of what is resampled, that much is not as it will be
_UNIT = 320  # samples
_BEYOND = 10  # units that are guessed after the end: encoders are wrong where they hear a sound stop


class StreamUnits:
    """Units of the last ``seconds`` of a stream at the voice model's rate."""

    def __init__(self, converter: SongConverter, seconds: float) -> None:
        encoder = converter.encoder
        self._encode, self._rate, self._clock = converter.encode, encoder.sampling_rate, encoder.clock
        self._data, self._diffusion_data = converter.config.data, converter.diffusion_data
        divisor = math.gcd(converter.sampling_rate, self._rate)
        self._from, self._to = converter.sampling_rate // divisor, self._rate // divisor
        self._source_rate, self._hop = converter.sampling_rate, converter.config.data.hop_length
        self._n_units = math.ceil(seconds * self._rate / _UNIT)
        self._audio = np.zeros(self._n_units * _UNIT, np.float32)  # its last units may be incomplete
        self._end = 0  # samples of the stream at 16 kHz; the window ends at the next whole unit
        self._pushed = 0  # of them when the units were computed last
        self._stream = encoder.stream(self._n_units + _BEYOND)

    def extend(self, audio: np.ndarray, end: int) -> None:
        """Hear on; ``audio`` (T,) are the last samples of the ``end`` that there were so far."""
        until, oldest = end * self._to // self._from, end - len(audio)
        edge = math.ceil(_EDGE * self._rate)
        start = max(self._end - edge, until - self._n_units * _UNIT, 0)
        begin = max(start * self._from // self._to - math.ceil(2 * _EDGE * self._source_rate), oldest)
        begin = -(-begin // self._from) * self._from  # a sample at both rates
        first = begin // self._from * self._to
        start = max(start, first)
        piece = resample(audio[begin - oldest :], self._source_rate, self._rate)
        fresh = piece[start - first : until - first]
        self._shift(_whole(until) - _whole(self._end))
        self._end = until
        stop = self._stop
        self._audio[max(0, stop - len(fresh)) : stop] = fresh[-min(len(fresh), stop) :]

    @property
    def _stop(self) -> int:
        """Samples of the window that were heard."""
        return len(self._audio) - (_whole(self._end) * _UNIT - self._end)

    def _shift(self, n_units: int) -> None:
        n = min(n_units * _UNIT, len(self._audio))
        if n:
            self._audio[:-n] = self._audio[n:].copy()
            self._audio[-n:] = 0

    def units(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Units (D, N) of the mel frames from ``first`` to ``stop``, up to 0.2 s after what was heard.

        There the sound is taken to go on as its own mirror image. The second are those for the
        diffusion model, if it wants them aligned otherwise.
        """
        heard = self._audio[: self._stop]
        wanted = len(self._audio) + _BEYOND * _UNIT - len(heard)
        audio = np.concatenate([heard, heard[-2 : -2 - wanted : -1]])
        moved = _whole(self._end) - _whole(self._pushed)
        if self._stream:
            edge = math.ceil(_EDGE * self._rate / _UNIT) + 1
            units = self._stream.push(audio, len(heard), moved, moved + edge + _BEYOND)
        else:
            units = self._encode(audio)
        self._pushed = self._end
        frames, other = np.arange(first, stop), self._diffusion_data
        aligned = self._aligned(units, frames, self._data)
        if other is None or other.unit_interpolate_mode == self._data.unit_interpolate_mode:
            return aligned, None
        return aligned, self._aligned(units, frames, other)

    def _aligned(self, units: np.ndarray, frames: np.ndarray, data: FeatureSection) -> np.ndarray:
        """Units (D, N) of ``frames`` (N,) of the stream, from those of the window (D, U)."""
        if data.unit_interpolate_mode == "time":
            places = nearest_units(frames, data, self._clock)
        else:
            places = frames * self._hop * self._to // (self._from * _UNIT)
        places -= _whole(self._end) - self._n_units
        chosen: np.ndarray = units[:, places.clip(0, units.shape[1] - 1)]
        return chosen


def _whole(samples: int) -> int:
    """Units of so many samples, the last of which may be incomplete."""
    return -(-samples // _UNIT)
