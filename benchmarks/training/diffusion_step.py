"""A training step of the diffusion model, against the same step in float32 with plain torch.

The sizes are those of the published template. The measured step is that of the
training loop: its number format on this machine, the fused optimizer, clipped
gradients. Both run in turn, so that other load slows both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from benchmarks.measure import alternate, table
from benchmarks.workspace import TEMPLATES
from diffusion.config import DiffusionConfig, load_diffusion_config
from diffusion.unit2mel import Unit2Mel
from modules.common.device import resolve_device
from training.precision import Precision
from training.tasks.diffusion import engine_config

MAX_NORM = 5.0  # training/loop.py


def main() -> None:
    """Print a row for each template."""
    device = resolve_device()
    rows = []
    for label, name, repeats in (
        ("tiny", "diffusion_tiny_template.yaml", 7),
        ("published size", "diffusion_template.yaml", 3),
    ):
        config = load_diffusion_config(TEMPLATES / name)
        precision = Precision(engine_config(config.train, device), device)
        plain, ours = Unit2Mel(config).to(device), Unit2Mel(config).to(device)
        batch = make_batch(config, device)
        steps = {"plain": plain_step(plain, batch), "ours": loop_step(ours, batch, device, precision)}
        times = {name: statistics.median(found) for name, found in alternate(steps, repeats).items()}
        model = f"{label}, {sum(p.numel() for p in plain.parameters()) / 1e6:.1f} M"
        cells = [f"{spent:.2f}" for spent in (times["plain"], times["ours"], times["ours"] / times["plain"])]
        shape = f"{config.train.batch_size} × {batch[0].size(2)}"
        rows.append([model, shape, *cells[:2], precision.name, cells[2]])
    table(["model", "batch × frames", "plain float32, s", "ours, s", "format", "ours / plain"], rows)


def make_batch(config: DiffusionConfig, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Random batch of training windows."""
    n_clips, data = config.train.batch_size, config.data
    n_frames = int(data.duration * data.sampling_rate) // data.hop_length
    return (
        torch.randn(n_clips, data.ssl_dim, n_frames, device=device),
        torch.full((n_clips, n_frames), 220.0, device=device),
        torch.full((n_clips, n_frames), 0.1, device=device),
        torch.zeros(n_clips, dtype=torch.long, device=device),
        torch.zeros(n_clips, device=device),
        torch.randn(n_clips, data.n_mels, n_frames, device=device) - 5,
    )


def plain_step(model: Unit2Mel, batch: tuple[torch.Tensor, ...]) -> Callable[[], None]:
    """A step in float32 with torch's optimizer by default."""
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)

    def step() -> None:
        optimizer.zero_grad()
        model(*batch).backward()
        optimizer.step()
        _wait()

    return step


def loop_step(
    model: Unit2Mel, batch: tuple[torch.Tensor, ...], device: torch.device, precision: Precision
) -> Callable[[], None]:
    """A step as in training/loop.py."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=device.type in ("cpu", "cuda"))
    scaler = precision.grad_scaler()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            loss = model(*batch)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        scaler.step(optimizer)
        scaler.update()
        _wait()

    return step


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
