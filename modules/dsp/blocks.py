"""Recordings in blocks, so that memory does not grow with their length."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np

BLOCK = 2**18  # samples in memory at a time


class Samples(Protocol):
    """A recording of which any part can be had: an array (T,), or one that lies on the disk."""

    def __len__(self) -> int:
        """T."""

    def __getitem__(self, where: slice, /) -> np.ndarray:
        """Samples ``where`` (a plain slice, without a step)."""


class ScratchAudio:
    """A recording (T,), float32, in a temporary file in ``folder``. Leaving the context frees the disk.

    Several threads may use it.
    """

    def __init__(self, folder: str | Path, blocks: Iterable[np.ndarray]) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".glow_svc.")  # noqa: SIM115
        self._length, self._lock = 0, Lock()
        try:
            for block in blocks:
                self._file.write(np.ascontiguousarray(block, np.float32).tobytes())
                self._length += len(block)
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, where: slice) -> np.ndarray:
        start, stop, _ = where.indices(self._length)
        with self._lock:
            self._file.seek(4 * start)
            return np.frombuffer(self._file.read(4 * max(0, stop - start)), np.float32)

    def __setitem__(self, where: slice, samples: np.ndarray) -> None:
        start, stop, _ = where.indices(self._length)
        if len(samples) != max(0, stop - start):
            raise ValueError(f"{len(samples)} samples for {stop - start}")
        with self._lock:
            self._file.seek(4 * start)
            self._file.write(np.ascontiguousarray(samples, np.float32).tobytes())

    def close(self) -> None:
        """Free the disk."""
        self._file.close()

    def __enter__(self) -> ScratchAudio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class View:
    """Samples ``start`` to ``stop`` of another recording, changed sample by sample as they are read."""

    audio: Samples
    start: int
    stop: int
    change: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, where: slice) -> np.ndarray:
        start, stop, _ = where.indices(len(self))
        return self.change(self.audio[self.start + start : self.start + stop])


def part(audio: Samples, start: int, stop: int) -> Samples:
    """Samples ``start`` to ``stop`` of ``audio``, not read before they are needed."""
    return audio[start:stop] if isinstance(audio, np.ndarray) else View(audio, start, stop, lambda x: x)


def changed(audio: Samples, change: Callable[[np.ndarray], np.ndarray]) -> Samples:
    """``audio`` with ``change``, which maps each sample alone, applied as it is read."""
    return change(audio) if isinstance(audio, np.ndarray) else View(audio, 0, len(audio), change)


def blocks(audio: Samples, size: int = BLOCK, overlap: int = 0) -> Iterator[np.ndarray]:
    """Yield ``audio`` in blocks of ``size`` samples; each also has the ``overlap`` samples before it."""
    for start in range(0, len(audio), size):
        yield audio[max(0, start - overlap) : start + size]


def peak(audio: Samples) -> np.float32:
    """Highest magnitude of ``audio``, 0 if it is empty."""
    return max((np.abs(block).max(initial=0.0) for block in blocks(audio)), default=np.float32(0.0))


def spans(length: int, step: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Yield what to read of each window of something of this ``length``, and what of the result to keep.

    A result depends on ``margin`` on either side. Up to ``step`` + 2 * ``margin`` are one window.
    """
    step = step if length > step + 2 * margin else max(1, length)
    for start in range(0, length, step):
        stop = min(start + step, length)
        first = max(0, start - margin)
        yield slice(first, min(length, stop + margin)), slice(start - first, stop - first)


def blended(
    audio: Samples,
    step: int,
    margin: int,
    fade: int,
    change: Callable[[np.ndarray], np.ndarray],
    law: Callable[[np.ndarray], np.ndarray] = lambda share: share,
) -> Iterator[np.ndarray]:
    """Yield in blocks what ``change`` gives for windows of ``audio`` (T, channels), cross-faded.

    ``change`` keeps the length; ``step`` and ``margin``, which is at least ``fade``, are as of :func:`spans`.
    ``law`` turns shares, 0 to 1, into gains: the square root where windows are unrelated in phase.
    """
    held: np.ndarray | None = None
    for read, keep in spans(len(audio), step, margin):
        part = change(audio[read])[keep.start : keep.stop + fade].copy()
        if held is not None:
            n = min(len(held), len(part))
            rising = np.linspace(0, 1, n, dtype=np.float32)[:, None]
            part[:n] = held[:n] * law(1 - rising) + part[:n] * law(rising)
        length = keep.stop - keep.start
        yield part[:length]
        held = part[length:]
