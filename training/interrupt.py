"""Ctrl-C ends a run after the current step, so that every checkpoint is complete."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """While open, Ctrl-C and SIGTERM only set ``requested``; a second one interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def ignore_interrupts(worker: int) -> None:
    """Let a worker that reads clips live through Ctrl-C: the last step still needs its batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
