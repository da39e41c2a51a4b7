"""Runs of the tiny Glow model, and ways to look into one."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.support.clips import CONFIG
from tests.training.support.events import Events
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.base import Task
from training.tasks.glow import GlowTask
from training.tensorboard import TensorBoardLogger

CPU = torch.device("cpu")


def trainer(clips, folder, config=CONFIG, max_minutes=0.0, base=None) -> Trainer:
    context = DistributedContext(CPU)
    task = GlowTask(config, clips, clips[:1], CPU)
    return Trainer(task, config.train, Path(folder), context, max_minutes, base)


def after_each_step(run: Trainer, call: Callable[[dict[str, Tensor]], object]) -> Trainer:
    """Call something with what each step returns; ``run.progress.step`` is its number."""
    step = run.step

    def watched(batches):
        values = step(batches)
        call(values)
        return values

    run.step = watched
    return run


def stop_at(run: Trainer, step: int) -> None:
    """Train until Ctrl-C comes during a step."""
    after_each_step(run, lambda _: run.progress.step == step and os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.checkpoints.steps()[-1] == step


def validate(task: Task, folder: Path, *steps: int) -> tuple[list[dict[str, float]], Events]:
    """Validate at some steps; return the metrics and what was written for TensorBoard."""
    tensorboard = TensorBoardLogger(folder)
    values = [task.validate(task.model.eval(), tensorboard, step) for step in steps]
    tensorboard.close()
    return values, Events(folder)


def gradients(run: Trainer) -> dict[str, Tensor]:
    """Gradients of the next step, before they are clipped."""
    run.state.model.train()
    run.state.optimizer.zero_grad(set_to_none=True)
    run.optimizer_step.backward(next(run.batches()))
    return {name: p.grad.clone() for name, p in run.state.model.named_parameters()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
