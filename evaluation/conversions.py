"""The data of an evaluation: a source song, its conversion by a model, and a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evaluation.resynthesis import resynthesis

NAN = float("nan")


@dataclass(frozen=True)
class EvalScore:
    """One number."""

    value: float  # of the conversion; NaN where there is nothing to measure
    reference: float = NAN  # the same of what the metric names as its reference; NaN: there is none


@dataclass(frozen=True, eq=False)
class SourceSong:
    """A recording before conversion."""

    name: str  # in the report
    audio: np.ndarray  # (T,), mono samples
    sampling_rate: int  # Hz
    f0: np.ndarray  # (N,), Hz, as the conversion used it
    uv: np.ndarray  # (N,), 1 = voiced
    key: float = 0.0  # semitones by which its melody is transposed
    hop_length: int = 512  # samples per frame of f0
    text: str = ""  # lyrics; "" if unknown

    @cached_property
    def resynthesis(self) -> np.ndarray:
        """WORLD resynthesis in the original voice and the new key (T,): the ceiling of many metrics."""
        return resynthesis(self.audio, self.f0, self.uv, self.key, self.sampling_rate, self.hop_length)


@dataclass(frozen=True, eq=False)
class Conversion:
    """A song as a model converted it."""

    song: SourceSong
    audio: np.ndarray  # (T,), time-aligned with the source
    joins: Sequence[tuple[int, int]] = ()  # first and last sample of each crossfade between two slices
    real_time_factor: float = NAN  # seconds of computation per second of song
    copy_synthesis: np.ndarray | None = None  # (T,), of a held-out clip: its mel by the vocoder alone

    @property
    def sampling_rate(self) -> int:
        """Hz, as that of the source."""
        return self.song.sampling_rate
