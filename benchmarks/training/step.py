"""A training step of the Glow model against the published computation, in turns.

The plain form (benchmarks/training/plain.py) has the same weights; before anything is timed,
its likelihood and gradients must be the model's. It leaves the F0 decoder untrained, as
published; ours trains it. Its optimizer is torch's in its plain form, and it clamps gradients;
ours is that of training/. Both keep freed memory, as training/ does, without which plain would be
slower. The machine's peak is measured in the same turns.

    python -m benchmarks.training.step [--sizes tiny] [--compile]

adds rows for torch.compile with --compile, whose first step takes minutes on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.machine import Peak, count_operations
from benchmarks.measure import alternate, table
from benchmarks.training.plain import PlainGlow, differences
from benchmarks.workspace import SIZES, template
from models import GlowSVC
from modules.common.allocator import keep_freed_memory
from modules.common.cli import make_parser
from modules.common.device import autocast
from modules.config import Config, ModelConfig

FORMATS = (torch.float32, torch.bfloat16)
REPEATS = 5
MAX_NORM = MAX_VALUE = 5.0  # of the gradients: training/optimizer_step.py clips their norm, plain each value
LEARNING_RATE = 1e-5  # small, so that steps on noise do not diverge
TOLERANCE = 1e-4, 1e-2  # relative, of the likelihood and of the gradients' norms: float32 in a deep flow


class Form(NamedTuple):
    """One way of computing a step."""

    ours: bool
    dtype: torch.dtype
    compiled: bool = False

    def __str__(self) -> str:
        name = f"{'ours' if self.ours else 'plain'}, {str(self.dtype).removeprefix('torch.')}"
        return name + ", compiled" * self.compiled


class StepCost(NamedTuple):
    """Cost of a training step: operations, seconds, and the share of the machine's peak."""

    operations: float
    seconds: float
    share: float


FORMS = [Form(ours, dtype) for ours in (False, True) for dtype in FORMATS]


def main(argv: Sequence[str] | None = ()) -> None:
    """Print a row for each template and form, and how far the plain form is from ours."""
    parser = make_parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=[*SIZES], default=[*SIZES], help="of the model")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    args = parser.parse_args(argv)
    keep_freed_memory()
    forms = FORMS + [Form(True, dtype, True) for dtype in FORMATS if args.compile]
    rows, notes = [], []
    for size in args.sizes:
        config = template(size)
        model = make_model(config.model).eval()
        loss, gradients = differences(model, make_batch(config.model, 1, config.train.max_speclen))
        if loss > TOLERANCE[0] or gradients > TOLERANCE[1]:
            raise SystemExit(f"{size}: the plain form computes something else: {loss:.1e}, {gradients:.1e}")
        notes.append(f"{size}: {loss:.0e} and {gradients:.0e}")
        model_name = f"{size}, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M"
        shape = f"{config.train.batch_size} × {config.train.max_speclen}"
        costs = measure(config, forms)
        baseline = costs[FORMS[0]].seconds
        for form, (operations, spent, share) in costs.items():
            cells = [f"{operations / 1e9:.1f}", f"{spent * 1000:.0f}", f"{baseline / spent:.2f}×"]
            rows.append([model_name, shape, form, *cells, f"{share:.0%}"])
    header = ["model", "batch × frames", "form", "GFLOP a step", "ms", "speed over plain float32"]
    table([*header, "share of peak"], rows)
    print(f"\nRelative difference to plain, of likelihood and gradient norms: {'; '.join(notes)}.")


def make_model(config: ModelConfig) -> GlowSVC:
    """Model of random weights, whose couplings do something."""
    torch.manual_seed(0)
    model = GlowSVC(config)
    for name, parameter in model.named_parameters():
        if ".post.weight" in name:  # zero at the start, which would hide what a WaveNet computes
            nn.init.normal_(parameter, std=0.01)
    return model


def make_batch(config: ModelConfig, n_clips: int, n_frames: int) -> dict[str, Tensor]:
    """Random recordings, as :meth:`models.GlowSVC.forward` takes them."""
    generator = torch.Generator().manual_seed(1)
    return {
        "units": torch.randn(n_clips, config.ssl_dim, n_frames, generator=generator),
        "f0": torch.full((n_clips, n_frames), 220.0),
        "uv": torch.ones(n_clips, n_frames),
        "mel": torch.randn(n_clips, config.inter_channels, n_frames, generator=generator) - 5,
        "lengths": torch.full((n_clips,), n_frames),
        "speaker_id": torch.zeros(n_clips, dtype=torch.long),
    }


def make_step(config: Config, form: Form) -> Callable[[], None]:
    """Training step on a random batch of the configuration's size."""
    model = make_model(config.model)
    batch = make_batch(config.model, config.train.batch_size, config.train.max_speclen)
    return _our_step(model, batch, form) if form.ours else _plain_step(PlainGlow.copy(model), batch, form)


def _plain_step(model: PlainGlow, batch: dict[str, Tensor], form: Form) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, foreach=False)

    def step() -> None:
        optimizer.zero_grad()
        with autocast("cpu", form.dtype):
            loss = model(**batch)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), MAX_VALUE, foreach=False)
        optimizer.step()

    return step


def _our_step(model: GlowSVC, batch: dict[str, Tensor], form: Form) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, fused=True)
    network = torch.compile(model) if form.compiled else model

    def step() -> None:
        optimizer.zero_grad()
        with autocast("cpu", form.dtype):
            loss = torch.stack(list(model.losses(network(**batch)).values())).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()

    return step


def measure(config: Config, forms: Sequence[Form]) -> dict[Form, StepCost]:
    """Cost of a training step in each form, the fastest of several turns."""
    steps = {form: make_step(config, form) for form in forms}
    peaks = {form.dtype: Peak(form.dtype) for form in forms}
    operations: dict[bool, float] = {}  # of ours, and of plain
    for form, step in steps.items():
        if form.compiled:
            began = time.perf_counter()
            step()
            print(f"{form}: the first step took {time.perf_counter() - began:.0f} s", flush=True)
        elif form.ours not in operations:
            operations[form.ours] = count_operations(step)
    works: dict[str, Callable[[], object]] = {str(form): step for form, step in steps.items()}
    for peak in peaks.values():
        works |= peak.works
    times = alternate(works, REPEATS)
    costs = {}
    for form in forms:
        spent, needed = min(times[str(form)]), operations[form.ours]
        costs[form] = StepCost(needed, spent, needed / spent / peaks[form.dtype].flops(times))
    return costs


if __name__ == "__main__":
    main(None)
