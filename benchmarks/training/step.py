"""A training step: its time, its operations, and the share of the machine's peak that it reaches.

`python -m benchmarks.training.step --compile` adds rows for torch.compile, whose first
step takes minutes on a CPU.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from benchmarks.machine import count_operations, peak_flops
from benchmarks.measure import seconds, table
from benchmarks.workspace import SIZES, template
from models import GlowSVC
from modules.config import Config

FORMATS = (torch.float32, torch.bfloat16)


def main(compiled: bool = False) -> None:
    """Print a row for each template and number format; float32 without torch.compile is the baseline."""
    rows = []
    for size in SIZES:
        config, baseline = template(size), 0.0
        model = f"{size}, {sum(p.numel() for p in GlowSVC(config.model).parameters()) / 1e6:.1f} M"
        shape = f"{config.train.batch_size} × {config.train.max_speclen}"
        for compile_it in (False, True)[: 1 + compiled]:
            for dtype in FORMATS:
                operations, spent, share = measure(config, dtype, compile_it)
                baseline = baseline or spent
                name = str(dtype).removeprefix("torch.") + (", compiled" if compile_it else "")
                cells = [f"{operations / 1e9:.1f}", f"{spent * 1000:.0f}", f"{share:.0%}"]
                rows.append([model, shape, name, *cells, f"{baseline / spent:.2f}×"])
    table(["model", "batch × frames", "format", "GFLOP a step", "ms", "share of peak", "over float32"], rows)


def make_step(model: GlowSVC, config: Config, dtype: torch.dtype) -> Callable[[torch.nn.Module], None]:
    """Training step on a random batch of the configuration's size, of ``model`` or what wraps it."""
    n_clips, n_frames = config.train.batch_size, config.train.max_speclen
    batch = {
        "units": torch.randn(n_clips, config.model.ssl_dim, n_frames),
        "f0": torch.full((n_clips, n_frames), 220.0),
        "uv": torch.ones(n_clips, n_frames),
        "mel": torch.randn(n_clips, config.data.n_mels, n_frames) - 5,
        "lengths": torch.full((n_clips,), n_frames),
        "speaker_id": torch.zeros(n_clips, dtype=torch.long),
    }
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step(network: torch.nn.Module) -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = torch.stack(list(model.losses(network(**batch)).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure(config: Config, dtype: torch.dtype, compiled: bool = False) -> tuple[float, float, float]:
    """Operations of a training step, its seconds, and the share of the machine's peak."""
    model = GlowSVC(config.model)
    step = make_step(model, config, dtype)
    network: torch.nn.Module = model
    if compiled:
        network = torch.compile(model)  # type: ignore[assignment]
        began = time.perf_counter()
        step(network)
        print(f"torch.compile, {dtype}: the first step took {time.perf_counter() - began:.0f} s", flush=True)
    operations = count_operations(lambda: step(model))
    spent = seconds(lambda: step(network))
    return operations, spent, operations / spent / peak_flops(dtype)


if __name__ == "__main__":
    main("--compile" in sys.argv)
