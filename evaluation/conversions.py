"""What is judged, a song and what a model made of it, and what a judge says: scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from evaluation.resynthesis import resynthesis


@dataclass(frozen=True)
class Score:
    """One number.

    Attributes:
        value: Of the conversion; NaN where there is nothing to measure.
        reference: The same of what the metric names as its reference; NaN: there is none.
    """

    value: float
    reference: float = float("nan")


@dataclass(frozen=True, eq=False)
class Song:
    """A recording before conversion, and what is known of it.

    Attributes:
        name: As the report calls it.
        audio: (T,), mono, samples.
        sampling_rate: Hz.
        f0: (N,), Hz, that the conversion used.
        uv: (N,), 1 = voiced.
        key: Semitones by which its melody is moved.
        hop_length: Samples per frame of ``f0``.
        text: The words that are sung; "" if nobody said.
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
        """The song by WORLD, in its own voice at the other key (T,): nothing here is a model's fault."""
        return resynthesis(self.audio, self.f0, self.uv, self.key, self.sampling_rate, self.hop_length)


@dataclass(frozen=True, eq=False)
class Take:
    """What a model made of a song.

    Attributes:
        song: Of what.
        audio: (T,), on the clock of the song.
        joins: First and last sample of every place where two slices meet.
        real_time_factor: Seconds of work per second of song.
        copy: (T,), of a held-out clip: its mel as the vocoder alone renders it.
    """

    song: Song
    audio: np.ndarray
    joins: Sequence[tuple[int, int]] = field(default=())
    real_time_factor: float = float("nan")
    copy: np.ndarray | None = None
