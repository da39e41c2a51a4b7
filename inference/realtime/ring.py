"""A ring buffer between an audio callback and the thread that computes, without a lock."""

from __future__ import annotations

import numpy as np


class Ring:
    """Samples in the order they came; one thread writes and one reads.

    Each side moves its own counter alone, after the samples, so neither has to wait.
    """

    def __init__(self, capacity: int) -> None:
        self._samples = np.zeros(capacity, np.float32)
        self._written = self._read = 0
        self._unwanted = self._left_out = (
            0  # samples that the writer took back, and those of them that are gone
        )

    def __len__(self) -> int:
        return self._written - self._read - (self._unwanted - self._left_out)

    @property
    def room(self) -> int:
        """Samples that can be written."""
        return len(self._samples) - (self._written - self._read)

    def write(self, audio: np.ndarray) -> int:
        """Append what there is room for of ``audio`` (T,); return how many samples that are."""
        n = min(len(audio), self.room)
        place = self._written % len(self._samples)
        first = min(n, len(self._samples) - place)
        self._samples[place : place + first] = audio[:first]
        self._samples[: n - first] = audio[first:n]
        self._written += n
        return n

    def take_back(self, n: int) -> None:
        """Leave out the oldest ``n`` samples, of those that there are; called by the writer."""
        self._unwanted += min(n, len(self))

    def read(self, n: int) -> np.ndarray:
        """Take out the oldest samples, ``n`` or as many as there are."""
        unwanted = self._unwanted
        self._read += unwanted - self._left_out
        self._left_out = unwanted
        n = min(n, len(self))
        place = self._read % len(self._samples)
        first = min(n, len(self._samples) - place)
        audio = np.concatenate([self._samples[place : place + first], self._samples[: n - first]])
        self._read += n
        return audio
