"""Files in the place of sound cards: a whole file at once, or at the pace of time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np

from inference.output import SongWriter
from inference.pipeline import Report
from inference.realtime.engine import RealtimeEngine
from inference.realtime.session import LiveSession
from modules.dsp.audio import AUDIO_SUFFIXES, mono_blocks, open_audio, resample_blocks

_TICK = 0.01  # s


def is_file_name(name: str) -> bool:
    """Whether ``name`` means a sound file, not a device."""
    return Path(name).suffix.lower() in AUDIO_SUFFIXES or Path(name).is_file()


def read_stream(path: str | Path, rate: int) -> Iterator[np.ndarray]:
    """Yield a sound file as mono at ``rate``, Hz, in blocks (T,).

    Raises:
        AudioError: It cannot be read.
    """
    with open_audio(path) as file:
        yield from resample_blocks(mono_blocks(file), file.samplerate, rate)


def cut(parts: Iterator[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Yield the samples of ``parts`` in blocks of ``length``; what is left at the end is shorter."""
    rest = np.zeros(0, np.float32)
    for part in parts:
        rest = np.concatenate([rest, part])
        n = len(rest) // length * length
        yield from rest[:n].reshape(-1, length)
        rest = rest[n:]
    if len(rest):
        yield rest


def convert_stream(engine: RealtimeEngine, path: str | Path, writer: SongWriter, report: Report) -> int:
    """Convert a file as a stream, as fast as the computer can; return the number of samples.

    The result is as long as the file and without the delay; ``report`` gets the seconds that are done.
    """
    n_read, written, skip = 0, 0, engine.delay

    def write(part: np.ndarray) -> None:
        nonlocal written, skip
        result = engine.process(np.pad(part, (0, engine.block - len(part))))
        result, skip = result[skip:], max(0, skip - engine.block)
        writer.write(result[: n_read - written])
        written += min(len(result), n_read - written)

    for part in cut(read_stream(path, engine.sampling_rate), engine.block):
        n_read += len(part)
        write(part)
        report(n_read / engine.sampling_rate)
    while written < n_read:  # what is still inside
        write(np.zeros(0, np.float32))
    return n_read


class Pacer:
    """Feeds a session from a file, or takes what it plays, at the pace of time, in place of a sound card.

    A context manager; leaving it ends its thread.
    """

    def __init__(self, session: LiveSession, source: Path | None, rate: int, plays: bool) -> None:
        self._session, self._rate, self._plays = session, rate, plays
        self._parts = cut(read_stream(source, rate), round(_TICK * rate)) if source else None
        self.finished = Event()  # set when the file has ended
        self._ending = Event()
        self._thread = Thread(target=self._run, name="file", daemon=True)

    def _run(self) -> None:
        began, ticks = time.perf_counter(), 0
        while not self._ending.is_set():
            ticks += 1
            time.sleep(max(0.0, began + ticks * _TICK - time.perf_counter()))
            n = round(_TICK * self._rate)
            if self._plays:
                self._session.playback(n)
            if self._parts is None:
                continue
            part = next(self._parts, None)
            if part is None:
                self.finished.set()
                part = np.zeros(n, np.float32)  # what is inside comes out
            self._session.capture(part)

    def __enter__(self) -> Pacer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
