"""Peak performance of the machine: the bound of all other numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import seconds, table

_SIZE = 2048


def peak_flops(dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product or convolution, whichever is faster.

    They use different libraries, and which one is faster depends on the processor.
    """
    a, b = (torch.randn(_SIZE, _SIZE).to(dtype) for _ in range(2))
    product = 2 * _SIZE**3 / seconds(lambda: a @ b, 9)
    sound, kernel = torch.randn(8, 512, 512).to(dtype), torch.randn(512, 512, 3).to(dtype)
    operations = 2 * kernel.numel() * 8 * 510
    return max(product, operations / seconds(lambda: torch.conv1d(sound, kernel), 9))


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
