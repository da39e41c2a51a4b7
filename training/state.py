"""Saving and resuming a run: weights, optimizer, gradient scale, random state, validation results."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modules.checkpoint import load_weights, read_checkpoint, write_checkpoint
from modules.checkpoint.identify import identify
from modules.common.errors import CheckpointError, TrainingError
from modules.config import TrainConfig
from training.base_model import (
    SPEAKERS,
    check_alignment,
    fit_base,
    gets_prenet,
    speakers_of,
    speakers_were_added,
)
from training.data.batches import TensorBatch
from training.distributed import DistributedContext
from training.early_stopping import BestTracker
from training.progress import BASE_STEP, CheckpointFolder, Progress, progress_of
from training.tasks.base import Task

logger = logging.getLogger(__name__)
_SIZES = (
    "Its sizes must be those of the section 'model'; "
    "preprocess_flist_config.py --tiny writes those of the starter kit."
)


class TrainingState:
    """What changes while a run trains; saves itself and resumes.

    Attributes:
        ema_model: Running mean of the model's weights; None without ``train.ema_decay``.
        tracker: What validation found.
        fresh: The weights are random: no checkpoint or base model was loaded.
    """

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        checkpoints: CheckpointFolder,
        scaler: torch.amp.GradScaler,
        context: DistributedContext,
    ) -> None:
        self.task, self.config, self.checkpoints, self.context = task, config, checkpoints, context
        self.model, self.scaler = task.model, scaler
        self.ema_model = deepcopy(task.model).eval() if config.ema_decay else None
        self.optimizer = torch.optim.AdamW(
            task.model.parameters(),
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=context.device.type in ("cpu", "cuda"),
        )
        self.tracker = BestTracker(checkpoints.folder / "metrics.csv", config.best_by, config.patience)
        self.progress = Progress()
        self.fresh = True

    @property
    def validated_model(self) -> nn.Module:
        """The model that is validated and saved for conversion: the mean, if there is one."""
        return self.model if self.ema_model is None else self.ema_model

    @property
    def learning_rate(self) -> float:
        """That of the last step."""
        return self.optimizer.param_groups[0]["lr"]

    def initialise(self, batch: TensorBatch) -> None:
        """Set the weights of a fresh run that depend on data, alike in every process."""
        self.task.initialise(batch)
        self.context.broadcast(list(self.model.state_dict().values()))
        if self.ema_model is not None:
            self.ema_model.load_state_dict(self.model.state_dict())
        self.fresh = False

    def update_ema(self) -> None:
        """Move the running mean towards the weights; in the first steps by more than the decay says."""
        if self.ema_model is None:
            return
        step = self.progress.step
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            mean: list[Tensor] = [*self.ema_model.parameters()]
            torch._foreach_lerp_(mean, [*self.model.parameters()], 1 - decay)

    def save(self) -> None:
        """Write the checkpoint of this step and drop old ones; nothing before the first step.

        Every process must call it: rank 0 writes the random state of all.

        Raises:
            TrainingError: Weights are not finite, in every process alike: older checkpoints are better.
        """
        config, step = self.config, self.progress.step
        if not torch.stack([p.isfinite().all() for p in self.model.parameters()]).all():
            raise TrainingError(
                f"weights of step {step} are not finite, so they are not saved. {self.task.advice['nan']}, "
                "and start again: the last checkpoint is kept."
            )
        rng_states = self.context.all_gather(rng_state(self.context.device))
        if step == BASE_STEP or self.fresh or not self.context.is_main:
            return
        content = {
            **self._published(),
            "progress": asdict(self.progress),
            "scaler": self.scaler.state_dict(),
            "rng": rng_states,
            "verdict": self.tracker.state(),
        }
        if config.save_opt:
            content["optimizer"] = self.optimizer.state_dict()
        if self.ema_model is not None:
            content["training_model"] = self.model.state_dict()
        write_checkpoint(self.checkpoints.path(step), content)
        self.checkpoints.prune(config.keep_ckpts, step, config.force_save_interval)

    def save_best(self) -> None:
        """Write the best checkpoint: for conversion, no run resumes from it."""
        write_checkpoint(self.checkpoints.best, {**self._published(), "step": self.progress.step})

    def _published(self) -> dict[str, Any]:
        """Entries of a published checkpoint, without the optimizer."""
        entries = self.task.entries(self.progress.step, self.progress.epoch)
        return {"model": self.validated_model.state_dict(), SPEAKERS: dict(self.task.config.spk), **entries}

    def resume(self, base: Path | None = None) -> None:
        """Load the newest checkpoint of the run, else ``base`` or the folder's own base model, else nothing.

        A run to which speakers or a prenet were added starts again from its own model, with later steps.

        Raises:
            CheckpointError: The file does not fit, or none of the run's checkpoints can be read.
            ConfigError: The run is of other speakers, or its units are aligned by another rule.
        """
        torch.manual_seed(self.config.seed + self.context.rank)  # dropout differs between processes
        found = self.checkpoints.newest()
        if found is not None and found[0] != self.checkpoints.path(BASE_STEP):
            check_alignment(self.task, found[0])
            trained = speakers_of(self.task, *found)
            added = "speakers" if speakers_were_added(self.task, found[0], trained) else ""
            if added or gets_prenet(self.task, _model_entry(*found)):
                self._grow(*found, trained, added or "layers")
            else:
                self._load_run(*found)
            if base is not None and self.context.is_main:
                logger.info("the base model %s has no effect: the run has checkpoints of its own", base)
        elif base is not None:
            self._load_base(base, read_checkpoint(base))
        elif found is not None:
            self._load_base(*found)

    def _load_base(self, path: Path, content: dict[str, Any]) -> None:
        model, notes = fit_base(self.task, _model_entry(path, content), speakers_of(self.task, path, content))
        self._load_weights(path, model, model, _SIZES)
        self.progress.based = True
        if self.context.is_main:
            logger.info("starting from the base model %s", "; ".join([str(path), *notes]))

    def _grow(self, path: Path, content: dict[str, Any], trained: dict[str, int], added: str) -> None:
        """Start again from the run's newest checkpoint ``path``, of fewer speakers or without a prenet.

        That file and the best one get what was ``added``, for the configuration beside them does.
        """
        model, notes = fit_base(self.task, _model_entry(path, content), trained)
        latest = content.get("training_model", content["model"])
        before = progress_of(path, content)
        step = before.step
        if self.context.is_main:
            said = "; ".join(notes)
            logger.info("%s: there are more %s; starting again from step %d: %s", path, added, step, said)
            if (best := self.checkpoints.best).is_file():
                content = read_checkpoint(best)
                of_best = _model_entry(best, content), speakers_of(self.task, best, content)
                grown = {"model": fit_base(self.task, *of_best)[0], SPEAKERS: dict(self.task.config.spk)}
                write_checkpoint(best, {**content, **grown})
        self._load_weights(path, fit_base(self.task, latest, trained)[0], model)
        self.progress = Progress(step=step, start=step, based=before.based)
        self.tracker.resume(None, step)
        self.save()

    def _load_run(self, path: Path, content: dict[str, Any]) -> None:
        context = self.context
        model = _model_entry(path, content)
        self._load_weights(path, content.get("training_model", model), model)
        self.progress = progress_of(path, content)
        self.tracker.resume(content.get("verdict"), self.progress.step)
        resume_optimizer(self.optimizer, content.get("optimizer"), path)
        if content.get("scaler"):
            self.scaler.load_state_dict(content["scaler"])
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

    def _load_weights(
        self, path: Path, trained: dict[str, Tensor], mean: dict[str, Tensor], advice: str = ""
    ) -> None:
        advice = advice or f"Use the {self.task.config_name} saved beside the checkpoint."
        load_weights(self.model, trained, path, advice)
        if self.ema_model is not None:
            load_weights(self.ema_model, mean, path, advice)
        self.fresh = False


def _model_entry(path: Path, content: dict[str, Any]) -> dict[str, Tensor]:
    model = content.get("model")
    if not isinstance(model, dict):
        kind = identify(content)
        seems = f"; it seems to be {kind}" if kind else ""
        raise CheckpointError(f"{path} has no entry 'model'; it is not a checkpoint of this trainer{seems}")
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
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(device: torch.device, state: dict[str, Tensor]) -> None:
    """Restore what :func:`rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
