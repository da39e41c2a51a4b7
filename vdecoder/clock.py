"""Where each slice of a song begins for a vocoder, whose phase and noise go on from the slice before.

If every slice began at phase 0, the cross-fade of two would be one of tones that
cancel each other: dips of up to 6 dB, and clicks where there is no cross-fade.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SourceStart:
    """State of a vocoder's source before the first sample of a slice."""

    frame: int = 0  # frames since the song began; they number the noise
    phase: float = 0.0  # of the fundamental, cycles


SONG_START = SourceStart()


class SongClock:
    """Phase of one vocoder's fundamental over the slices of a song, which come in order."""

    def __init__(self) -> None:
        self._origin = self._first = 0
        self._cycles = np.zeros(1)

    @property
    def state(self) -> tuple[int, int, np.ndarray]:
        """Where the last slice was placed; may be set, to render the slice after it again."""
        return self._origin, self._first, self._cycles

    @state.setter
    def state(self, state: tuple[int, int, np.ndarray]) -> None:
        self._origin, self._first, self._cycles = state

    def start(self, first: int, join: int | None, cycles: np.ndarray) -> SourceStart:
        """Place the next slice; return where it begins.

        ``first`` is the number of its first frame, ``join`` that of the frame at which it takes over
        from the slice before, where both have the same phase; None: it is the first of its song.
        ``cycles`` (N + 1,), float64, are those of the fundamental from the slice's first sample to
        each frame, and to its end.
        """
        phase = 0.0
        if join is None:
            self._origin = first
        else:
            before, here = np.clip(
                [join - self._first, join - first], 0, [len(self._cycles) - 1, len(cycles) - 1]
            )
            phase = float((self._cycles[before] - cycles[here]) % 1)
        self._first, self._cycles = first, phase + cycles
        return SourceStart(first - self._origin, phase)


def frame_cycles(f0: np.ndarray, hop_length: int, sampling_rate: int) -> np.ndarray:
    """Cycles (N + 1,), float64, of F0 (N,), Hz, that is constant within a frame and 0 where silent."""
    return np.concatenate([[0.0], np.cumsum(f0.astype(np.float64) * (hop_length / sampling_rate))])
