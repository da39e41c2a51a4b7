"""Training step on more GPUs: a calculation from measurements on this machine and data sheets.

Nothing here ran on a GPU. Measured are the operations of a step, the size of
its gradients and the share of the peak that this machine reaches; the rest is
arithmetic whose assumptions are printed with it.
"""

from __future__ import annotations

import torch

from benchmarks.measure import table
from benchmarks.training.step import Form, measure
from benchmarks.workspace import template
from models import GlowSVC
from modules.common.device import cpu_has_bf16

_SHARE = 0.3  # of a GPU's peak: less than on a CPU, since the tensors are small for it
# name, peak in half precision (FLOP/s), bytes per second to its neighbours, GPUs per machine
_MACHINES = (
    ("consumer GPUs, PCIe 4", 80e12, 20e9, 8),
    ("server GPUs, NVLink", 300e12, 300e9, 8),
)
_NETWORK = 25e9  # bytes per second between machines (200 Gbit/s)
_HIDDEN = 0.5  # share of the exchange that overlaps with the backward pass
_HOURS = 3.0  # of recordings, for the steps of an epoch
_WINDOW = 512 * 512 / 44100  # s


def exchange(n: int, size: float, link: float, per_machine: int) -> float:
    """Seconds of a ring all-reduce of ``size`` bytes over ``n`` GPUs; its slowest link counts."""
    bandwidth = link if n <= per_machine else min(link, _NETWORK)
    return 2 * (n - 1) / n * size / bandwidth if n > 1 else 0.0


def main() -> None:
    """Print the assumptions and the table."""
    config = template("published size")
    dtype = torch.bfloat16 if cpu_has_bf16() else torch.float32
    form = Form(True, dtype)
    operations, spent, share = measure(config, [form])[form]
    size = 4.0 * sum(p.numel() for p in GlowSVC(config.model).parameters())
    batch = config.train.batch_size
    print(
        f"Measured here: {operations / 1e9:.0f} GFLOP a step of {batch} × {config.train.max_speclen} frames, "
        f"{spent:.2f} s in {str(dtype).removeprefix('torch.')} on this CPU ({share:.0%} of its peak); "
        f"{size / 1e6:.0f} MB of gradients.\n"
    )
    rows = []
    for name, peak, link, per_machine in _MACHINES:
        alone = operations / (_SHARE * peak)
        for n in (1, 8, 64, 256):
            exchanged = exchange(n, size, link, per_machine)
            step = alone + (1 - _HIDDEN) * exchanged
            windows = n * batch
            per_epoch = max(1.0, _HOURS * 3600 / _WINDOW / windows)
            times = [f"{1000 * alone:.0f}", f"{1000 * exchanged:.1f}", f"{1000 * step:.0f}"]
            rates = [f"{windows / step:.0f}", f"{alone / step:.0%}", f"{per_epoch:.0f}"]
            rows.append([name, n, *times, *rates])
    header = ["GPUs of", "number", "compute, ms", "exchange, ms", "step, ms", "windows/s", "efficiency"]
    table([*header, f"steps per epoch of {_HOURS:g} h"], rows)
