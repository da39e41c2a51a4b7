"""Child processes that save and end when their parent is asked to end, or is killed.

A parent that waits passes on the signals it gets. One that is killed cannot, so
each child watches its parent, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from functools import cache
from types import FrameType
from typing import Any

PARENT = "GLOW_SVC_PARENT"  # environment variable of a script: ID of the process that it ends with
GRACE = 60.0  # s to end in, once another child has
_POLL = 0.1  # s


def child_environment() -> dict[str, str]:
    """Environment of a script that ends with this process."""
    return {**os.environ, PARENT: str(os.getpid())}


def watch_parent() -> None:
    """End with the parent that :func:`child_environment` named, if there is one."""
    if parent := os.environ.get(PARENT):
        end_with(int(parent))


@cache
def end_with(pid: int) -> None:
    """Send SIGTERM to this process within a second of the end of the process ``pid``."""
    import psutil

    def watch() -> None:
        try:
            parent = psutil.Process(pid)
            while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
                time.sleep(1)
        except psutil.NoSuchProcess:
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def end_signals() -> list[int]:
    """Signals that ask this process to end: Ctrl-C, a request, a closed terminal unless nohup ignores it."""
    numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    return numbers


def wait_for(children: Sequence[subprocess.Popen[Any]]) -> int:
    """Wait for the end of all ``children``; return the exit code of the first that failed, or 0.

    Signals that ask this process to end are passed on, so the children belong in
    sessions of their own: from a terminal they would get Ctrl-C twice. When one
    fails, the others are asked to end; after :data:`GRACE` s they are killed.

    Raises:
        KeyboardInterrupt: This process was asked to end, and the children have.
    """
    asked = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for child in children:
            if os.name == "posix" or number != signal.SIGINT:  # Windows sends Ctrl-C to every process itself
                child.send_signal(number)

    previous = {number: signal.signal(number, pass_on) for number in end_signals()}
    failed, deadline = 0, 0.0
    try:
        while running := [child for child in children if child.poll() is None]:
            codes = [child.returncode for child in children if child.returncode]
            if codes and not failed:
                failed, deadline = codes[0], time.monotonic() + GRACE
                for child in [] if asked else running:  # once asked, they may be saving
                    child.terminate()
            elif failed and time.monotonic() > deadline:
                for child in running:
                    child.kill()
            time.sleep(_POLL)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
    return failed or next((child.returncode for child in children if child.returncode), 0)
