"""The lines that train.py and train_diff.py print before a run and after it."""

from __future__ import annotations

from training.loop import Trainer


def describe_run(trainer: Trainer, n_training: int, n_validation: int) -> str:
    """Numbers of clips, parameters, processes and steps."""
    n_parameters = sum(p.numel() for p in trainer.task.model.parameters())
    context, epochs = trainer.context, trainer.epochs
    processes = f" in each of {context.size} processes" if context.size > 1 else ""
    return (
        f"{n_training} training and {n_validation} validation clips; {n_parameters / 1e6:.1f} M parameters, "
        f"{trainer.precision.name} on {context.device.type}{processes}; {epochs.n_steps} steps per epoch, "
        f"{epochs.padding():.1%} padding"
    )


def describe_result(trainer: Trainer) -> str:
    """The last checkpoint, and the best one if there is one."""
    step, tracker = trainer.progress.step, trainer.tracker
    lines = [f"trained {step} steps: {trainer.checkpoints.path(step)}"]
    if tracker.best is not None:
        best = f"{tracker.best_by} {tracker.best:.4g} at step {tracker.best_step}"
        lines.append(f"best {best}: {trainer.checkpoints.best}")
    return "\n".join(lines)
