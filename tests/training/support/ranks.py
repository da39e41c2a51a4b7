"""Code that runs in the processes of tests/training/test_distributed.py, started by torchrun."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import torch

from modules.checkpoint import write_checkpoint
from tests.training.support.clips import with_train
from tests.training.support.runs import gradients, trainer


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    what, folder, *names = sys.argv[1:]
    clips = [Path(name) for name in names]
    if what == "gradients":
        run = trainer(clips, folder, with_train(batch_size=2))
        mine = gradients(run)
        if run.context.is_main:
            write_checkpoint(Path(folder) / "gradients.pt", mine)
    elif what == "train":
        run = trainer(clips, folder, with_train(batch_size=1, max_steps=20))
        run.run()
        states = run.context.all_gather({k: v.clone() for k, v in run.state.model.state_dict().items()})
        assert all(torch.equal(states[0][name], state[name]) for state in states for name in state)
    else:
        run = trainer(clips, folder, with_train(batch_size=1, max_steps=10_000))
        if run.context.rank == 1:
            sys.exit("rank 1 gave up")
        run.run()
    run.context.close()


if __name__ == "__main__":
    main()
