"""Saving and resuming a run: weights, optimizer, gradient scale, random state, validation results."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modules.checkpoint import load_weights, read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError
from modules.config import TrainConfig
from training.base_model import fit_speakers
from training.distributed import DistributedContext
from training.early_stopping import BestTracker
from training.progress import BASE_STEP, CheckpointFolder, Progress, progress_of
from training.tasks.base import Task

logger = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """What changes while a run trains.

    Attributes:
        model: What is trained.
        mean_model: Running mean of its weights; None without ``train.ema_decay``.
        optimizer: Of ``model``, one group of parameters.
        scaler: Scales the loss of fp16 training.
        tracker: What validation found.
        progress: Steps, epochs and time.
        fresh: The weights are random: no checkpoint or base model was loaded.
    """

    model: nn.Module
    mean_model: nn.Module | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    tracker: BestTracker
    progress: Progress = field(default_factory=Progress)
    fresh: bool = True

    @property
    def validated_model(self) -> nn.Module:
        """The model that is validated and saved for conversion: the mean, if there is one."""
        return self.model if self.mean_model is None else self.mean_model

    @property
    def learning_rate(self) -> float:
        """That of the last step."""
        return self.optimizer.param_groups[0]["lr"]

    def reset_mean(self) -> None:
        """Set the running mean to the weights as they are."""
        if self.mean_model is not None:
            self.mean_model.load_state_dict(self.model.state_dict())

    def update_mean(self, decay: float) -> None:
        """Move the running mean towards the weights; in the first steps with a smaller ``decay``."""
        if self.mean_model is None:
            return
        step = self.progress.step
        decay = min(decay, (1 + step) / (10 + step))
        with torch.no_grad():
            mean: list[Tensor] = [*self.mean_model.parameters()]
            torch._foreach_lerp_(mean, [*self.model.parameters()], 1 - decay)


class Checkpointer:
    """Writes the checkpoints of one run and resumes from them.

    Args:
        state: What is saved and restored.
        task: Names the published entries of a checkpoint.
        config: ``save_opt``, ``keep_ckpts``, ``force_save_interval`` and ``seed`` are read.
        folder: Where the checkpoints lie.
        context: The run's processes.
    """

    def __init__(
        self,
        state: TrainingState,
        task: Task,
        config: TrainConfig,
        folder: CheckpointFolder,
        context: DistributedContext,
    ) -> None:
        self.state, self.task, self.config, self.folder, self.context = state, task, config, folder, context

    def save(self) -> None:
        """Write the checkpoint of this step and drop old ones; nothing before the first step.

        Every process must call it: rank 0 writes the random state of all.
        """
        state = self.state
        rng_states = self.context.all_gather(rng_state(self.context.device))
        step = state.progress.step
        if step == BASE_STEP or state.fresh or not self.context.is_main:
            return
        content = {
            **self._published(),
            "progress": state.progress.state(),
            "scaler": state.scaler.state_dict(),
            "rng": rng_states,
            "verdict": state.tracker.state(),
        }
        if self.config.save_opt:
            content["optimizer"] = state.optimizer.state_dict()
        if state.mean_model is not None:
            content["training_model"] = state.model.state_dict()
        write_checkpoint(self.folder.path(step), content)
        self.folder.prune(self.config.keep_ckpts, step, self.config.force_save_interval)

    def save_best(self) -> None:
        """Write the best checkpoint: for conversion, no run resumes from it."""
        write_checkpoint(self.folder.best, {**self._published(), "step": self.state.progress.step})

    def _published(self) -> dict[str, Any]:
        """Entries of a published checkpoint, without the optimizer."""
        progress = self.state.progress
        return {
            "model": self.state.validated_model.state_dict(),
            **self.task.entries(progress.step, progress.epoch),
        }

    def resume(self, base: Path | None = None) -> None:
        """Load the newest checkpoint of the run, else the base model, else nothing.

        Args:
            base: Base model; None: the one in the folder, if there is one.

        Raises:
            CheckpointError: The file does not fit, or none of the run's checkpoints can be read.
        """
        torch.manual_seed(self.config.seed + self.context.rank)  # dropout differs between processes
        found = self.folder.newest()
        if found is not None and found[0] != self.folder.path(BASE_STEP):
            self._load_run(*found)
        elif base is not None:
            self._load_base(base, read_checkpoint(base))
        elif found is not None:
            self._load_base(*found)

    def _load_base(self, path: Path, content: dict[str, Any]) -> None:
        model, averaged, new = fit_speakers(
            self.state.model, _model_entry(path, content), self.task.speaker_tables
        )
        self._load_weights(path, model, model)
        if self.context.is_main:
            parts = [f"{' and '.join(averaged)} from the average of its speakers"] if averaged else []
            parts += [f"{' and '.join(new)} from scratch"] if new else []
            logger.info("starting from the base model %s", "; ".join([str(path), *parts]))

    def _load_run(self, path: Path, content: dict[str, Any]) -> None:
        state, context = self.state, self.context
        model = _model_entry(path, content)
        self._load_weights(path, content.get("training_model", model), model)
        state.progress = progress_of(path, content)
        state.tracker.resume(content.get("verdict"), state.progress.step)
        resume_optimizer(state.optimizer, content.get("optimizer"), path)
        if content.get("scaler"):
            state.scaler.load_state_dict(content["scaler"])
        states = content.get("rng")
        states = [states] if isinstance(states, dict) else states  # of an earlier version
        if states and len(states) == context.size:
            set_rng_state(context.device, states[context.rank])
        elif context.is_main:
            logger.warning(
                "%s: no RNG state in this checkpoint for %d processes; reseeding", path, context.size
            )
        if context.is_main:
            logger.info("continuing from %s", path)

    def _load_weights(self, path: Path, trained: dict[str, Tensor], mean: dict[str, Tensor]) -> None:
        advice = f"Use the {self.task.config_name} saved beside the checkpoint."
        load_weights(self.state.model, trained, path, advice)
        if self.state.mean_model is not None:
            load_weights(self.state.mean_model, mean, path, advice)
        self.state.fresh = False


def _model_entry(path: Path, content: dict[str, Any]) -> dict[str, Tensor]:
    model = content.get("model")
    if not isinstance(model, dict):
        raise CheckpointError(f"{path} has no entry 'model'; it is not a checkpoint of this trainer")
    return model


def resume_optimizer(optimizer: torch.optim.Optimizer, state: Any, path: Path) -> None:
    """Load the moments of a saved ``optimizer`` state; settings stay as configured.

    Without moments, or with those of another model, they are reset, with a warning.
    """
    if not isinstance(state, dict) or not state.get("state"):
        logger.warning(
            "%s holds no optimizer state (compressed, or train.save_opt is off); its moments are reset", path
        )
        return
    parameters = optimizer.param_groups[0]["params"]
    saved = [number for group in state.get("param_groups", []) for number in group["params"]]
    shapes = {i: s["exp_avg"].shape for i, s in state["state"].items() if "exp_avg" in s}
    wanted = dict(zip(saved, (p.shape for p in parameters), strict=False))
    if len(saved) != len(parameters) or any(wanted.get(i) != shape for i, shape in shapes.items()):
        logger.warning("the optimizer state of %s is of another model; its moments are reset", path)
        return
    # before loading: where torch puts the count of steps depends on the settings
    group = {**optimizer.param_groups[0], "params": saved}
    optimizer.load_state_dict({"state": state["state"], "param_groups": [group]})


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """State of the random generators that a step draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(device: torch.device, state: dict[str, Tensor]) -> None:
    """Restore what :func:`rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
