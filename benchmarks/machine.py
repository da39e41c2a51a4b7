"""Peak performance of the machine: the bound of all other numbers."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import alternate, seconds, table
from modules.common.device import cpu_has_bf16

_SIZE = 2048


def processor() -> str:
    """Name of the processor, how many cores this process may use, and whether bfloat16 is native."""
    details = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", details.read_text()) if details.exists() else None
    name = found[1] if found else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, bfloat16 {'native' if cpu_has_bf16() else 'emulated'}"


def peak_flops(dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product or convolution, whichever is faster, at best.

    They use different libraries, and which one is faster depends on the processor.
    """
    a, b = (torch.randn(_SIZE, _SIZE).to(dtype) for _ in range(2))
    sound, kernel = torch.randn(8, 512, 512).to(dtype), torch.randn(512, 512, 3).to(dtype)
    times = alternate({"product": lambda: a @ b, "conv": lambda: torch.conv1d(sound, kernel)}, 9)
    return max(2 * _SIZE**3 / min(times["product"]), 2 * kernel.numel() * 8 * 510 / min(times["conv"]))


def count_operations(work: Callable[[], object]) -> float:
    """Multiplications and additions of the matrix products and convolutions in ``work``."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def bandwidth() -> float:
    """Bytes per second of copying memory (read and written)."""
    source = torch.zeros(64 * 2**20)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source), 9)


def main() -> None:
    """Print the machine's peaks."""
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    rows = [[f"operations, {name}", f"{peak_flops(x) / 1e9:.0f} GFLOP/s"] for name, x in formats.items()]
    table(["peak", "measured"], [*rows, ["memory copy", f"{bandwidth() / 1e9:.1f} GB/s"]])
