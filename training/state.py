"""Saving a run and going on with it: weights, optimizer, schedule, chance, and what validation found."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from modules.checkpoint import load_weights, read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError
from training.base_model import fit_speakers
from training.progress import BASE_STEP, progress_of

if TYPE_CHECKING:
    from training.loop import Trainer

logger = logging.getLogger(__name__)


class RunState:
    """Writes and reads the checkpoints of one run.

    Args:
        trainer: Whose.

    Attributes:
        verdict: What the checkpoint that was resumed from knew of validations.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.tracker: dict[str, Any] | None = None

    # -- saving ------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoint of this step, unless the run has not begun, and drop old ones.

        Every process must call it: rank 0 writes what all of them know.
        """
        run = self.trainer
        states = run.context.all_gather(rng_state(run.context.device))
        if run.progress.step == BASE_STEP or run.fresh or not run.context.is_main:
            return
        content = {
            **self._published(),
            "progress": run.progress.state(),
            "scaler": run.precision.scaler.state_dict(),
            "rng": states,
            "verdict": run.tracker.state(),
        }
        if run.config.save_opt:
            content["optimizer"] = run.optimizer.state_dict()
        if run.mean_model is not None:
            content["training_model"] = run.task.model.state_dict()
        write_checkpoint(run.checkpoints.path(run.progress.step), content)
        run.checkpoints.prune(run.config.keep_ckpts, run.progress.step, run.config.force_save_interval)

    def save_best(self) -> None:
        """Write the checkpoint called best: for conversion; a run never goes on from it."""
        run = self.trainer
        write_checkpoint(run.checkpoints.best, {**self._published(), "step": run.progress.step})

    def _published(self) -> dict[str, Any]:
        """Return the entries that a published checkpoint has, without an optimizer."""
        run = self.trainer
        return {
            "model": (run.mean_model or run.task.model).state_dict(),
            **run.task.entries(run.progress.step, run.progress.epoch),
        }

    # -- resuming ----------------------------------------------------------------------------------

    def resume(self) -> bool:
        """Load the newest checkpoint, if there is one; say whether the model is trained already."""
        run = self.trainer
        first = run.context.is_main
        torch.manual_seed(run.config.seed + run.context.rank)  # dropout differs between processes
        found = run.checkpoints.newest()
        base = found is None or found[0] == run.checkpoints.path(BASE_STEP)
        if base and run.base is not None:
            found = run.base, read_checkpoint(run.base)
        if found is None:
            return False
        path, content = found
        model = content.get("model")
        if not isinstance(model, dict):
            raise CheckpointError(f"{path} holds no 'model'; it is no checkpoint of this trainer")
        advice = f"Use the {run.task.config_name} saved beside the checkpoint."
        average: list[str] = []
        new: list[str] = []
        if base:
            model, average, new = fit_speakers(run.task.model, model, run.task.speaker_tables)
        load_weights(run.task.model, model if base else content.get("training_model", model), path, advice)
        if run.mean_model is not None:
            load_weights(run.mean_model, model, path, advice)
        if base:
            if first:
                parts = [f"{' and '.join(average)} from the average of its speakers"] if average else []
                parts += [f"{' and '.join(new)} from scratch"] if new else []
                logger.info("starting from the base model %s", "; ".join([str(path), *parts]))
            return True
        run.progress = progress_of(path, content)
        resume_optimizer(run.optimizer, content.get("optimizer"), path)
        if content.get("scaler"):
            run.precision.scaler.load_state_dict(content["scaler"])
        states = content.get("rng")
        states = [states] if isinstance(states, dict) else states  # of one process, by an earlier version
        if states and len(states) == run.context.size:
            set_rng_state(run.context.device, states[run.context.rank])
        elif first:
            logger.warning(
                "%s: no RNG state in this checkpoint for %d processes; reseeding", path, run.context.size
            )
        self.tracker = content.get("verdict")
        if first:
            logger.info("continuing from %s", path)
        return True


def resume_optimizer(optimizer: torch.optim.Optimizer, state: Any, path: Path) -> None:
    """Give ``optimizer``, of one group of parameters, the moments that ``path`` holds.

    Its settings stay: the configuration rules, not what was saved. Without
    moments, or with those of another model, it starts fresh, with a warning.
    """
    if not isinstance(state, dict) or not state.get("state"):
        logger.warning(
            "%s holds no optimizer state (compressed, or train.save_opt is off); its moments are reset",
            path,
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
    """Return the state of the random generators that a step draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(device: torch.device, state: dict[str, Tensor]) -> None:
    """Set what :func:`rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
