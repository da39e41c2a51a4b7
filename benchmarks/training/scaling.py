"""What more GPUs would do to a training step: a calculation from what is measured here and a few data sheets.

Nothing below ran on a GPU. Measured are the operations of a step, the size of
its gradients and the share of the peak that this machine reaches; the rest is
arithmetic whose assumptions are printed with it.
"""

from __future__ import annotations

import torch

from benchmarks.measure import table
from benchmarks.training.step import measure, template
from models import GlowSVC
from modules.common.device import cpu_has_bf16

_SHARE = 0.3  # of a GPU's peak: less than the share we reach on a CPU, since our tensors are small for it
# name, peak in half precision (FLOP/s), bytes per second to its neighbours, GPUs per machine
_MACHINES = (
    ("consumer GPUs, PCIe 4", 80e12, 20e9, 8),
    ("server GPUs, NVLink", 300e12, 300e9, 8),
)
_NETWORK = 25e9  # bytes per second between machines (200 Gbit/s)
_HIDDEN = 0.5  # share of the exchange that goes on during the backward pass
_HOURS = 3.0  # of recordings, for the steps of an epoch
_WINDOW = 512 * 512 / 44100  # s


def exchange(n: int, size: float, link: float, per_machine: int) -> float:
    """Return the seconds in which ``n`` GPUs add up ``size`` bytes in a ring; its slowest link counts."""
    bandwidth = link if n <= per_machine else min(link, _NETWORK)
    return 2 * (n - 1) / n * size / bandwidth if n > 1 else 0.0


def main() -> None:
    """Print the assumptions and the table."""
    config = template("config_template.json")
    dtype = torch.bfloat16 if cpu_has_bf16() else torch.float32
    operations, spent, share = measure(config, dtype)
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
            step = alone + (1 - _HIDDEN) * exchange(n, size, link, per_machine)
            windows = n * batch
            per_epoch = max(1.0, _HOURS * 3600 / _WINDOW / windows)
            rows.append(
                [
                    name,
                    n,
                    f"{1000 * alone:.0f}",
                    f"{1000 * exchange(n, size, link, per_machine):.1f}",
                    f"{1000 * step:.0f}",
                    f"{windows / step:.0f}",
                    f"{alone / step:.0%}",
                    f"{per_epoch:.0f}",
                ]
            )
    header = ["GPUs of", "number", "compute, ms", "exchange, ms", "step, ms", "windows/s", "efficiency"]
    table([*header, f"steps per epoch of {_HOURS:g} h"], rows)
