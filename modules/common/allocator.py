"""Keeping freed memory for what comes next, instead of giving it back to the system.

A training step frees what the next one takes, tens of megabytes or more. glibc gives it back, and
the system clears every page again: up to a fifth of a step's processor time on a virtual machine.
"""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, <malloc.h>
_OF_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_NEVER = 2**31 - 1  # bytes


def keep_freed_memory() -> None:
    """Let this process keep freed memory from now on, unless the user has chosen (Linux, glibc)."""
    if sys.platform != "linux" or any(name in os.environ for name in _OF_USER):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries have none, or ignore it
        mallopt(_TRIM_THRESHOLD, _NEVER)
        mallopt(_MMAP_THRESHOLD, _NEVER)
