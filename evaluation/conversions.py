"""The data of an evaluation: a source song, its conversion by a model, and a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from evaluation.resynthesis import resynthesis

NAN = float("nan")


@dataclass(frozen=True)
class EvalScore:
    """One number.

    Attributes:
        value: Of the conversion; NaN where there is nothing to measure.
        reference: The same of what the metric names as its reference; NaN: there is none.
    """

    value: float
    reference: float = NAN


@dataclass(frozen=True, eq=False)
class SourceSong:
    """A recording before conversion.

    Attributes:
        name: Its name in the report.
        audio: (T,), mono samples.
        sampling_rate: Hz.
        f0: (N,), Hz, as the conversion used it.
        uv: (N,), 1 = voiced.
        key: Semitones by which its melody is transposed.
        hop_length: Samples per frame of ``f0``.
        text: Lyrics; "" if unknown.
    """

    name: str
    audio: np.ndarray
    sampling_rate: int
    f0: np.ndarray
    uv: np.ndarray
    key: float = 0.0
    hop_length: int = 512
    text: str = ""

    @cached_property
    def resynthesis(self) -> np.ndarray:
        """WORLD resynthesis in the original voice and the new key (T,): the ceiling of many metrics."""
        return resynthesis(self.audio, self.f0, self.uv, self.key, self.sampling_rate, self.hop_length)


@dataclass(frozen=True, eq=False)
class Conversion:
    """A song as a model converted it.

    Attributes:
        song: The source.
        audio: (T,), time-aligned with the source.
        joins: First and last sample of each crossfade between two slices.
        real_time_factor: Seconds of computation per second of song.
        copy_synthesis: (T,), of a held-out clip: its mel rendered by the vocoder alone.
    """

    song: SourceSong
    audio: np.ndarray
    joins: Sequence[tuple[int, int]] = field(default=())
    real_time_factor: float = NAN
    copy_synthesis: np.ndarray | None = None

    @property
    def sampling_rate(self) -> int:
        """Hz, as that of the source."""
        return self.song.sampling_rate
