"""The training loop: step, log, validate and save, each a function of its own.

It knows nothing of the model beyond its task (training/task.py). Everything
a step depends on is a function of the step or is in the checkpoint, so a run
that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from modules.checkpoint import load_weights, write_checkpoint
from modules.config import Config
from modules.errors import CheckpointError, TrainingError
from training.board import Board
from training.budget import Budget
from training.precision import Precision
from training.progress import BASE_STEP, CheckpointFolder, Progress, progress_of
from training.sampler import EpochSampler
from training.schedule import learning_rate
from training.state import resume_optimizer, rng_state, set_rng_state
from training.stopping import StopRequest
from training.task import Batch, Task

logger = logging.getLogger(__name__)

_MAX_GRAD_NORM = 5.0


class Trainer:
    """One run of one task.

    Args:
        task: The model and its losses.
        config: The run's configuration.
        folder: Checkpoints and logs.
        device: Where the model lives.
        max_minutes: Stop after this much time; 0 is no limit. The cosine
            schedule ends there too. Only what follows the last step comes on
            top: it is validated and saved.

    Raises:
        CheckpointError: The folder's checkpoints do not fit, or none can be read.
    """

    def __init__(
        self, task: Task, config: Config, folder: Path, device: torch.device, max_minutes: float = 0.0
    ) -> None:
        self.task, self.config, self.device = task, config, device
        self.checkpoints = CheckpointFolder(folder, *task.checkpoints)
        self.precision = Precision(config.train, device)
        self.progress = Progress()
        self.optimizer = torch.optim.Adam(
            task.model.parameters(),
            lr=config.train.learning_rate,
            betas=config.train.betas,
            eps=config.train.eps,
            fused=device.type in ("cpu", "cuda"),
        )
        self._skipped = torch.zeros((), device=device)
        self.mean_model = deepcopy(task.model).eval() if config.train.ema_decay else None
        self.fresh = not self._resume()
        self.budget = Budget(config.train, len(task.training_set), self.progress, max_minutes)
        self.board = Board(folder)

    # -- running ---------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train until the steps, the epochs or the time are used up; return where it ended."""
        train, budget = self.config.train, self.budget
        budget.start()
        bar = tqdm(total=budget.expected_steps(), initial=self.progress.step, unit="step", desc="training")
        try:
            with StopRequest() as stop:
                for batch in self._batches():
                    if self.fresh:
                        self.task.initialise(batch)
                        self._reset_mean()
                        self.fresh = False
                    values = self._step(batch)
                    budget.tick()
                    bar.total = budget.expected_steps()
                    bar.update()
                    step = self.progress.step
                    if step % train.log_interval == 0:
                        self._log(values, bar)
                    if step % train.eval_interval == 0 or budget.share() >= 1:
                        self._check_finite(values)
                        self._validate(bar)
                        self._save()
                    elif stop.requested:
                        self._check_finite(values)
                        self._save()
                    if stop.requested:
                        raise KeyboardInterrupt
        finally:
            bar.close()
            self.board.close()
        logger.warning("stopped at step %d: %s", self.progress.step, budget.used_up())
        return self.progress

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches that are left, and keep the position in the epoch."""
        train, data = self.config.train, self.task.training_set
        sampler = EpochSampler(len(data), train.seed)
        loader: DataLoader[Any] = DataLoader(
            data,  # type: ignore[arg-type] # whatever has items and a length will do
            batch_size=train.batch_size,
            sampler=sampler,
            collate_fn=self.task.collate,
            num_workers=0 if train.all_in_mem or self.device.type == "cpu" else 4,
            generator=torch.Generator(),  # else it takes numbers that dropout would have got
        )
        while self.progress.epoch < train.epochs and self.budget.share() < 1:
            data.epoch = sampler.epoch = self.progress.epoch
            sampler.start = self.progress.position
            for batch in loader:
                self.progress.position += len(batch)
                yield batch.to(self.device)
                if self.budget.share() >= 1:
                    return
            self.progress.epoch += 1
            self.progress.position = 0

    # -- one step --------------------------------------------------------------------------------

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        """Take one optimizer step; return tensors to log, without waiting for them."""
        train, model = self.config.train, self.task.model
        model.train()
        rate = learning_rate(train, self.task.d_model, self.progress.step + 1, self.budget.share())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.precision.autocast():
            total, parts = self.task.losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        scaler = self.precision.scaler
        scaler.scale(total).backward()
        scaler.unscale_(self.optimizer)  # clip true gradients, not scaled ones
        norm = nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRAD_NORM)
        self._skip_unless_finite(norm)
        scaler.step(self.optimizer)
        scaler.update()
        self._update_mean()
        self.progress.step += 1
        return {"total": total.detach(), **{k: v.detach() for k, v in parts.items()}, "grad_norm": norm}

    def _skip_unless_finite(self, norm: Tensor) -> None:
        """Make the coming optimizer step do nothing if the gradient is no number.

        Clipping would spread a single infinity over all weights, for good. The
        fused optimizer reads the verdict where it is, so nothing waits for it.
        """
        bad = (~torch.isfinite(norm)).float()
        self._skipped += bad
        if self.optimizer.param_groups[0]["fused"]:
            self.optimizer.found_inf = bad  # type: ignore[attr-defined] # as GradScaler does
        elif bad:
            self.optimizer.zero_grad(set_to_none=True)

    def _update_mean(self) -> None:
        """Move the running mean of the weights; early on it follows faster."""
        if self.mean_model is None:
            return
        step = self.progress.step
        decay = min(self.config.train.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            mean: list[Tensor] = [*self.mean_model.parameters()]
            now: list[Tensor] = [*self.task.model.parameters()]
            torch._foreach_lerp_(mean, now, 1 - decay)

    def _reset_mean(self) -> None:
        if self.mean_model is not None:
            self.mean_model.load_state_dict(self.task.model.state_dict())

    # -- log, validate, save -----------------------------------------------------------------------

    def _log(self, values: dict[str, Tensor], bar: tqdm) -> None:
        numbers = {name: float(value) for name, value in values.items()}
        self._check_finite(values)
        norm = numbers.pop("grad_norm")
        curves = {f"train/{name}": value for name, value in numbers.items()}
        curves |= {"train/grad_norm": norm, "train/learning_rate": self.optimizer.param_groups[0]["lr"]}
        curves["train/skipped_steps"] = skipped = float(self._skipped)
        self._skipped.zero_()
        if skipped and not self.precision.scaler.is_enabled():  # the scaler finds its scale by such steps
            logger.warning(
                "step %d: the gradient of %d steps before it was no number; they were left out",
                self.progress.step,
                skipped,
            )
        self.board.scalars(curves, self.progress.step)
        bar.set_postfix({"epoch": self.progress.epoch, **{k: f"{v:.3f}" for k, v in numbers.items()}})

    def _check_finite(self, values: dict[str, Tensor]) -> None:
        """Refuse to go on, and above all to save, once the loss is no number."""
        loss = float(values["total"])
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} at step {self.progress.step}. Lower train.learning_rate, or set "
                "train.fp16_run to false, and start again: the last checkpoint is kept."
            )

    def _validate(self, bar: tqdm) -> None:
        model = self.mean_model or self.task.model
        model.eval()
        values = self.task.validate(model, self.board, self.progress.step)
        self.board.scalars({f"validation/{k}": v for k, v in values.items()}, self.progress.step)
        numbers = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        bar.write(f"step {self.progress.step}: validation {numbers}")

    def _save(self) -> None:
        if self.progress.step == BASE_STEP or self.fresh:
            return
        self.budget.tick()
        content: dict[str, Any] = {
            "model": (self.mean_model or self.task.model).state_dict(),
            "iteration": self.progress.epoch,
            "optimizer": self.optimizer.state_dict(),
            "learning_rate": self.config.train.learning_rate,
            "progress": self.progress.state(),
            "scaler": self.precision.scaler.state_dict(),
            "rng": rng_state(self.device),
        }
        if self.mean_model is not None:
            content["training_model"] = self.task.model.state_dict()
        write_checkpoint(self.checkpoints.path(self.progress.step), content)
        self.checkpoints.prune(self.config.train.keep_ckpts, self.progress.step)

    # -- resuming ----------------------------------------------------------------------------------

    def _resume(self) -> bool:
        """Load the newest checkpoint, if there is one; say whether the model is trained already."""
        found = self.checkpoints.newest()
        if found is None:
            return False
        path, content = found
        model = content.get("model")
        if not isinstance(model, dict):
            raise CheckpointError(f"{path} holds no 'model'; it is no checkpoint of this trainer")
        base = path == self.checkpoints.path(BASE_STEP)
        tables = self.task.speaker_tables if base else ()
        kept = load_weights(self.task.model, content.get("training_model", model), path, tables)
        if self.mean_model is not None:
            load_weights(self.mean_model, model, path, tables)
        if base:
            anew = f"; of other speakers, so {' and '.join(kept)} start anew" if kept else ""
            logger.warning("starting from the base model %s%s", path, anew)
            return True
        self.progress = progress_of(path, content)
        resume_optimizer(self.optimizer, content.get("optimizer"), path)
        if content.get("scaler"):
            self.precision.scaler.load_state_dict(content["scaler"])
        if "rng" in content:
            set_rng_state(self.device, content["rng"])
        logger.warning("continuing from %s", path)
        return True
