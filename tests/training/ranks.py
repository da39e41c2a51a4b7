"""Code that runs in the processes of tests/training/test_distributed.py, started by torchrun."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import torch

from modules.checkpoint import write_checkpoint
from tests.training.clips import CONFIG, with_train
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.glow import GlowTask


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Return the gradient of the next step, before it is clipped."""
    trainer.task.model.train()
    trainer.optimizer.zero_grad(set_to_none=True)
    trainer._backward(next(trainer._batches()))
    return {name: p.grad.clone() for name, p in trainer.task.model.named_parameters()}


def make(folder: Path, clips: list[Path], **changes) -> Trainer:
    torch.set_num_threads(1)
    config = replace(with_train(**changes), model=CONFIG.model)
    context = DistributedContext(torch.device("cpu"))
    return Trainer(GlowTask(config, clips, clips[:1], context.device), config.train, folder, context)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    what, folder, *clips = sys.argv[1:]
    paths = [Path(clip) for clip in clips]
    if what == "gradients":
        trainer = make(Path(folder), paths, batch_size=2)
        mine = gradients(trainer)
        if trainer.context.is_main:
            write_checkpoint(Path(folder) / "gradients.pt", mine)
    elif what == "train":
        trainer = make(Path(folder), paths, batch_size=1, max_steps=20)
        trainer.run()
        states = trainer.context.all_gather(
            {k: v.clone() for k, v in trainer.task.model.state_dict().items()}
        )
        assert all(torch.equal(states[0][name], state[name]) for state in states for name in state)
    elif what == "die":
        trainer = make(Path(folder), paths, batch_size=1, max_steps=10_000)
        if trainer.context.rank == 1:
            sys.exit("rank 1 gave up")
        trainer.run()
    trainer.context.close()


if __name__ == "__main__":
    main()
