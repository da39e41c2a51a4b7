"""What the machine can do at best: the floor under every other number."""

from __future__ import annotations

import torch

from benchmarks.measure import seconds, table

_SIZE = 2048


def peak_flops(dtype: torch.dtype) -> float:
    """Return operations per second of a large matrix product or convolution, whichever is faster.

    They run in different libraries, and which one is better depends on the maker of the processor.
    """
    a, b = (torch.randn(_SIZE, _SIZE).to(dtype) for _ in range(2))
    product = 2 * _SIZE**3 / seconds(lambda: a @ b, 9)
    sound, kernel = torch.randn(8, 512, 512).to(dtype), torch.randn(512, 512, 3).to(dtype)
    operations = 2 * kernel.numel() * 8 * 510
    return max(product, operations / seconds(lambda: torch.conv1d(sound, kernel), 9))


def bandwidth() -> float:
    """Return bytes per second of copying memory (read and written)."""
    source = torch.zeros(64 * 2**20)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source), 9)


def main() -> None:
    """Print the machine's peaks."""
    table(
        ["peak", "measured"],
        [
            ["operations, float32", f"{peak_flops(torch.float32) / 1e9:.0f} GFLOP/s"],
            ["operations, bfloat16", f"{peak_flops(torch.bfloat16) / 1e9:.0f} GFLOP/s"],
            ["memory copy", f"{bandwidth() / 1e9:.1f} GB/s"],
        ],
    )
