"""Telling a lack of memory from other errors."""

from __future__ import annotations

import re

# PyTorch's messages for GPUs and for the machine; only some of them have an exception class
_FULL = re.compile(r"out of memory|can't allocate memory|not enough memory|ALLOC_FAILED", re.IGNORECASE)
_MACHINE = re.compile(r"CPUAllocator", re.IGNORECASE)


def full_memory(error: BaseException, device: object) -> str | None:
    """What ran out of memory, "cpu" or ``device``, on which work was done; None if ``error`` is another."""
    machine = isinstance(error, MemoryError)
    if not machine and not (isinstance(error, RuntimeError) and _FULL.search(str(error))):
        return None
    return "cpu" if machine or _MACHINE.search(str(error)) else str(device)
