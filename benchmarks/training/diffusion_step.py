"""A training step of the diffusion model, in either number format, against the published computation.

The sizes are those of the templates. The measured step is that of the training
loop: autocast, the fused optimizer, clipped gradients. All run in turn, so that
other load slows all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.diffusion.published import published_denoiser
from benchmarks.measure import alternate, table
from benchmarks.workspace import TEMPLATES
from diffusion.config import DiffusionConfig, load_diffusion_config
from diffusion.unit2mel import Unit2Mel
from modules.common.device import resolve_device
from training.precision import Precision
from training.tasks.diffusion import engine_config

MAX_NORM = 5.0  # training/loop.py
FORMATS = {"float32": "fp32", "bfloat16": "bf16"}  # name in train.amp_dtype


def main() -> None:
    """Print rows for each template."""
    device = resolve_device()
    rows = []
    for label, name, repeats in (
        ("tiny", "diffusion_tiny_template.yaml", 3),
        ("published size", "diffusion_template.yaml", 2),
    ):
        config = load_diffusion_config(TEMPLATES / name)
        model, batch = Unit2Mel(config).to(device), make_batch(config, device)
        steps = {"published, float32": published_step(model, config, batch)}
        for spoken, short in FORMATS.items():
            settings = engine_config(replace(config.train, amp_dtype=short), device)
            steps[spoken] = loop_step(copy.deepcopy(model), batch, device, Precision(settings, device))
        times = {name: min(found) for name, found in alternate(steps, repeats).items()}
        sizes = f"{label}, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M"
        shape = f"{config.train.batch_size} × {batch[0].size(2)}"
        for spoken, spent in times.items():
            ratio = times["published, float32"] / spent
            rows.append([sizes, shape, spoken, f"{spent:.2f}", f"{ratio:.2f}×"])
    table(["model", "batch × frames", "computation", "seconds", "over published"], rows)


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


def published_step(
    model: Unit2Mel, config: DiffusionConfig, batch: tuple[torch.Tensor, ...]
) -> Callable[[], None]:
    """A step in float32 of the published computation, with torch's optimizer by default."""
    plain = copy.deepcopy(model)
    network = published_denoiser(plain.decoder, config.data.n_mels)
    plain.decoder.add_module(plain.decoder.network_name, network)
    optimizer = torch.optim.AdamW(plain.parameters(), foreach=False)

    def step() -> None:
        optimizer.zero_grad()
        plain(*batch).backward()
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
