"""Step 3: train the network, and keep WORK/encoder.safetensors up to date while it runs.

It begins as the first layers of the teacher, as far as it can (tools/starter/encoder/initial.py).
Six losses train the units: the teacher's units of the original; the phone; the phones 60 ms
before and after; equality in two voices; contrast with the other units of the clip in the other
voice; and an adversary that identifies the speaker. A clip ends anywhere, so its last units have
little or none of the future. Run it again to continue, with the voices that are there by then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from modules.common.cli import entry_point, make_parser
from tools.starter.encoder.corpus import Corpus
from tools.starter.encoder.initial import initialise
from tools.starter.encoder.losses import WEIGHTS, Student, losses
from tools.starter.encoder.probe import held_out
from tools.starter.encoder.state import StarterState
from vencoder.ppg.attention import AttentionNetwork

RATE = 1.5e-3  # learning rate of what begins at random
_KNOWN = 0.2  # of it, for what begins as the teacher
ADVERSARY = 0.2  # weight of the speaker
_DECAY = 0.998  # of the moving average of the weights, which is saved
_SAVE_EVERY = 120.0  # s


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.encoder.train")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--minutes", type=float, default=240, help="of training in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    student, average = Student(), Student().requires_grad_(False)
    new = [*student.network.out.parameters(), *student.phones.parameters(), *student.teacher.parameters(),
           *student.speaker.parameters()]  # fmt: skip
    known = set(student.parameters()) - set(new)
    groups = [
        {"params": [p for p in some if (p.ndim > 1) == large], "weight_decay": 0.02 * large, "rate": rate}
        for some, rate in ((new, RATE), ([p for p in student.parameters() if p in known], _KNOWN * RATE))
        for large in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, RATE, betas=(0.9, 0.98))
    state = StarterState(args.work, student, average, optimizer)
    state.load()
    corpus = Corpus(args.work, state.speakers)
    state.speakers = tuple(corpus.speakers)
    if not state.step:
        assert isinstance(student.network, AttentionNetwork)
        initialise(student.network, args.work)
        student.deviation.copy_(corpus.deviation)
        average.load_state_dict(student.state_dict())
    n_parameters = sum(parameter.numel() for parameter in student.network.parameters())
    print(
        f"{n_parameters / 1e6:.2f} M parameters, {len(corpus.tracks)} voices, {corpus.seconds / 3600:.2f} h"
    )
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    part = state.seconds / (60 * args.minutes)
    while part < 1:
        state.step += 1
        batch = corpus.batch(np.random.default_rng([args.seed, state.step]))
        state.seconds = time.monotonic() - began
        part = min(1.0, state.seconds / (60 * args.minutes))
        for group in optimizer.param_groups:
            group["lr"] = (
                group["rate"] * min(1.0, state.step / 100) * (0.02 + 0.98 * (1 + np.cos(np.pi * part)) / 2)
            )
        found = losses(student, batch, ADVERSARY * min(1.0, state.step / 1000))
        total = torch.stack([WEIGHTS[name] * found[name] for name in WEIGHTS if name in found]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        _follow(average, student, min(_DECAY, state.step / (state.step + 10)))
        if state.step % 20 == 0:
            line = "  ".join(f"{name} {float(value.detach()):.3f}" for name, value in found.items())
            print(f"{state.step}  {state.seconds / 60:.1f} min  {line}", flush=True)
        if time.monotonic() - saved > _SAVE_EVERY or part >= 1:
            saved = time.monotonic()
            state.save()
            if corpus.held:
                accuracy, speaker = held_out(average, corpus.held)
                chance = 1 / len(corpus.held)
                print(
                    f"held-out voices: phones {accuracy:.3f}, speaker {speaker:.3f} ({chance:.3f})",
                    flush=True,
                )
    return 0


@torch.no_grad()
def _follow(average: nn.Module, student: nn.Module, decay: float) -> None:
    for kept, new in zip(average.parameters(), student.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)


if __name__ == "__main__":
    sys.exit(main())
