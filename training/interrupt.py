"""Ctrl-C ends a run after the current step, so that every checkpoint is complete."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

from modules.common.children import end_signals

_TOGETHER = 1.0  # s: a system that shuts down asks every process, and so does the parent


class StopRequest:
    """While open, a signal that asks to end sets ``requested``; one a second or more later interrupts."""

    def __init__(self) -> None:
        self.requested = False
        self._first = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in end_signals():
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and time.monotonic() > self._first + _TOGETHER:
            raise KeyboardInterrupt
        if not self.requested:
            self.requested, self._first = True, time.monotonic()


def ignore_interrupts(worker: int) -> None:
    """Let a worker that reads clips live through requests to end: the last step still needs its batch.

    A second SIGTERM ends it: a training that fails sends it until its workers have ended.
    """
    for number in end_signals():
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
