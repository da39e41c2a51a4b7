"""Child processes that tests interrupt, or wait for."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any


def start_interruptible(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process that Ctrl-C or a closed terminal ends, even if this one ignores them (nohup, ``&``).

    A child inherits an ignored signal, but gets the default in place of a handler.
    """
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        return subprocess.Popen(command, **options)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def wait_until(
    condition: Callable[[], object], process: subprocess.Popen[Any] | None = None, seconds: float = 90
) -> None:
    """Wait until something is true, with patience for a busy machine, while ``process`` runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "it has ended"
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)
