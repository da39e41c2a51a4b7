"""Peak performance of the machine: the bound of all other numbers."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import alternate, seconds, table
from modules.common.device import cpu_has_bf16

_SIZE = 2048
_RUNS = 3  # in a row, with warm caches


def processor() -> str:
    """Name of the processor, how many cores this process may use, and whether bfloat16 is native."""
    details = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", details.read_text()) if details.exists() else None
    name = found[1] if found else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, bfloat16 {'native' if cpu_has_bf16() else 'emulated'}"


class Peak:
    """Best operations per second of a large matrix product or convolution, whichever is faster.

    They use different libraries, and which one is faster depends on the processor. What a machine
    reaches changes from minute to minute where others share it, so :attr:`works` are to be timed
    in turns (:func:`benchmarks.measure.alternate`) with what is compared to the peak.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        a, b = (torch.randn(_SIZE, _SIZE).to(dtype) for _ in range(2))
        n = _SIZE // 4  # channels, and frames
        sound, kernel = torch.randn(8, n, n).to(dtype), torch.randn(n, n, 3).to(dtype)
        self.works: dict[str, Callable[[], object]] = {
            f"product, {dtype}": lambda: [a @ b for _ in range(_RUNS)],
            f"convolution, {dtype}": lambda: [torch.conv1d(sound, kernel) for _ in range(_RUNS)],
        }
        self._operations = (_RUNS * 2 * _SIZE**3, _RUNS * 2 * kernel.numel() * 8 * (n - 2))

    def flops(self, times: Mapping[str, Sequence[float]]) -> float:
        """Operations per second, from the seconds that each of the works took, among others."""
        best = (min(times[name]) for name in self.works)
        return max(count / spent for count, spent in zip(self._operations, best, strict=True))


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
    peaks = {"float32": Peak(torch.float32), "bfloat16": Peak(torch.bfloat16)}
    rows = [
        [f"operations, {name}", f"{peak.flops(alternate(peak.works, 9)) / 1e9:.0f} GFLOP/s"]
        for name, peak in peaks.items()
    ]
    table(["peak", "measured"], [*rows, ["memory copy", f"{bandwidth() / 1e9:.1f} GB/s"]])
