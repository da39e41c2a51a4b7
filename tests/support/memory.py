"""Peak memory of some work, measured in a process of its own."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest


def memory_grown(work: Callable[[], object], warm_up: Callable[[], object]) -> int:
    """Bytes by which a fork of this process grows, at most, while it does ``work``; skips without /proc.

    A fork begins without the pages of libraries, which ``warm_up``, the like in small, brings back.
    """
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process is read from /proc")
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        try:
            warm_up()
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
            before = _status("VmRSS")
            work()
            os.write(send, str(_status("VmHWM") - before).encode())
        except BaseException:  # noqa: BLE001 - reported below
            traceback.print_exc(file=sys.__stderr__)
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as answer:
        grown = answer.read()
    os.waitpid(child, 0)
    assert grown, "the work failed; its traceback is above"
    return int(grown)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))
