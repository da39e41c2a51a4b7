"""A training step of the diffusion model, against the same step as plain torch does it in float32.

The sizes are those of the published template. The measured step is that of the
training loop: the number format it chooses on this machine, the fused optimizer,
clipped gradients. Both run in turn, so that a busy machine slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measure import table
from diffusion.config import DiffusionConfig, load_diffusion_config
from diffusion.unit2mel import Unit2Mel
from modules.common.device import resolve_device
from training.precision import Precision
from training.tasks.diffusion import engine_config

_TEMPLATES = Path(__file__).parents[2] / "configs_template"
_REPEATS = {"tiny": 7, "published size": 3}
_MAX_NORM = 5.0  # training/loop.py


def main() -> None:
    """Print a row for each template."""
    device = resolve_device()
    rows = []
    for label, name in (
        ("tiny", "diffusion_tiny_template.yaml"),
        ("published size", "diffusion_template.yaml"),
    ):
        config = load_diffusion_config(_TEMPLATES / name)
        plain, ours, kind = measure(config, device, _REPEATS[label])
        n_parameters = sum(p.numel() for p in Unit2Mel(config).parameters())
        rows.append(
            [
                f"{label}, {n_parameters / 1e6:.1f} M",
                f"{config.train.batch_size} × {n_frames(config)}",
                f"{plain:.2f}",
                f"{ours:.2f}",
                kind,
                f"{ours / plain:.2f}",
            ]
        )
    table(["model", "batch × frames", "plain float32, s", "ours, s", "format", "ours / plain"], rows)


def n_frames(config: DiffusionConfig) -> int:
    """Return the frames of a training window."""
    return int(config.data.duration * config.data.sampling_rate) // config.data.hop_length


def measure(config: DiffusionConfig, device: torch.device, repeats: int) -> tuple[float, float, str]:
    """Return the median seconds of the plain step and of ours, and the number format of ours."""
    n_clips, frames, data = config.train.batch_size, n_frames(config), config.data
    batch = (
        torch.randn(n_clips, data.ssl_dim, frames, device=device),
        torch.full((n_clips, frames), 220.0, device=device),
        torch.full((n_clips, frames), 0.1, device=device),
        torch.zeros(n_clips, dtype=torch.long, device=device),
        torch.zeros(n_clips, device=device),
        torch.randn(n_clips, data.n_mels, frames, device=device) - 5,
    )
    precision = Precision(engine_config(config.train, device), device)
    steps = plain_step(config, batch, device), loop_step(config, batch, device, precision)
    times: tuple[list[float], list[float]] = [], []
    for turn in range(repeats + 1):
        for step, taken in zip(steps, times, strict=True):
            began = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first warms up
                taken.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1]), precision.name


def plain_step(
    config: DiffusionConfig, batch: tuple[torch.Tensor, ...], device: torch.device
) -> Callable[[], None]:
    """Return a step in float32 with torch's optimizer as it comes."""
    model = Unit2Mel(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)

    def step() -> None:
        optimizer.zero_grad()
        model(*batch).backward()
        optimizer.step()

    return step


def loop_step(
    config: DiffusionConfig, batch: tuple[torch.Tensor, ...], device: torch.device, precision: Precision
) -> Callable[[], None]:
    """Return a step as training/loop.py takes it."""
    model = Unit2Mel(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=device.type in ("cpu", "cuda"))
    scaler = precision.grad_scaler()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            loss = model(*batch)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_NORM)
        scaler.step(optimizer)
        scaler.update()

    return step


if __name__ == "__main__":
    main()
