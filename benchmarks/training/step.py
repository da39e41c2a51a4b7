"""A training step: its time, its operations, and the share of the machine's peak that it reaches.

`python -m benchmarks.training.step --compile` adds rows for torch.compile, which takes
minutes to start on a CPU.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import peak_flops
from benchmarks.measure import seconds, table
from models import GlowSVC
from modules.config import Config, parse_config

FORMATS = (torch.float32, torch.bfloat16)
_TEMPLATES = Path(__file__).parents[2] / "configs_template"


def template(name: str) -> Config:
    """Return one of the configurations that step 2 starts from, for one speaker of 12-channel units."""
    values = json.loads((_TEMPLATES / name).read_text(encoding="utf-8"))
    values["model"] |= {"n_speakers": 1, "ssl_dim": 12 if "tiny" in name else 768}
    return parse_config(values)


def main(compiled: bool = False) -> None:
    """Print a row for each template and number format; float32 as torch does it is the baseline.

    Args:
        compiled: Also try torch.compile, and say how long it takes to start.
    """
    rows = []
    for label, name in (("tiny", "config_tiny_template.json"), ("published size", "config_template.json")):
        config = template(name)
        baseline = None
        ways = [(dtype, way) for way in (False, True)[: 1 + compiled] for dtype in FORMATS]
        for dtype, way in ways:
            operations, spent, share = measure(config, dtype, way)
            baseline = baseline or spent
            n_parameters = sum(p.numel() for p in GlowSVC(config.model).parameters())
            rows.append(
                [
                    f"{label}, {n_parameters / 1e6:.1f} M",
                    f"{config.train.batch_size} × {config.train.max_speclen}",
                    str(dtype).removeprefix("torch.") + (", compiled" if way else ""),
                    f"{operations / 1e9:.1f}",
                    f"{spent * 1000:.0f}",
                    f"{share:.0%}",
                    f"{baseline / spent:.2f}×",
                ]
            )
    table(["model", "batch × frames", "format", "GFLOP a step", "ms", "share of peak", "over float32"], rows)


def measure(config: Config, dtype: torch.dtype, compiled: bool = False) -> tuple[float, float, float]:
    """Return the operations of a training step, its seconds, and the share of the machine's peak."""
    model = GlowSVC(config.model)
    network = torch.compile(model) if compiled else model
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

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = torch.stack(list(model.losses(network(**batch)).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    began = time.perf_counter()
    if compiled:
        step()
        print(f"torch.compile, {dtype}: the first step took {time.perf_counter() - began:.0f} s", flush=True)
        network, eager = model, network
    with FlopCounterMode(display=False) as counter:
        step()
    operations = float(counter.get_total_flops())
    if compiled:
        network = eager
    spent = seconds(step, 5)
    return operations, spent, operations / spent / peak_flops(dtype)


if __name__ == "__main__":
    main("--compile" in sys.argv)
