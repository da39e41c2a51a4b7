"""The training loop: step, log, validate and save, each a function of its own.

It knows nothing of the model beyond its task (losses, validation). Everything
a step depends on is a function of the step or is in the checkpoint, so a run
that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from modules.checkpoint import load_weights, write_checkpoint
from modules.config import Config
from modules.errors import CheckpointError, TrainingError
from training.board import Board
from training.dataset import Batch, EpochSampler, GlowDataset, collate
from training.precision import Precision
from training.progress import BASE_STEP, CheckpointFolder, Progress, progress_of
from training.schedule import learning_rate
from training.stopping import StopRequest

logger = logging.getLogger(__name__)

_MAX_GRAD_NORM = 5.0


class Task(Protocol):
    """What the loop asks of a model."""

    prefix: str
    training_set: GlowDataset

    @property
    def model(self) -> nn.Module: ...  # noqa: D102
    @property
    def d_model(self) -> int: ...  # noqa: D102
    def initialise(self, batch: Batch) -> None: ...  # noqa: D102
    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]: ...  # noqa: D102
    def validate(self, model: Any, board: Board, step: int) -> dict[str, float]: ...  # noqa: D102


class Trainer:
    """One run of one task.

    Args:
        task: The model and its losses.
        config: The run's configuration.
        folder: Checkpoints and logs.
        device: Where the model lives.
        max_minutes: Stop after this much training time; 0 is no limit. The
            cosine schedule ends there too.

    Raises:
        CheckpointError: The folder's checkpoints do not fit, or none can be read.
    """

    def __init__(
        self, task: Task, config: Config, folder: Path, device: torch.device, max_minutes: float = 0.0
    ) -> None:
        self.task, self.config, self.device = task, config, device
        self.max_seconds = max_minutes * 60
        self.checkpoints = CheckpointFolder(folder, task.prefix)
        self.precision = Precision(config.train, device)
        self.progress = Progress()
        torch.manual_seed(config.train.seed)
        self.optimizer = torch.optim.Adam(
            task.model.parameters(),
            lr=config.train.learning_rate,
            betas=config.train.betas,
            eps=config.train.eps,
            fused=device.type in ("cpu", "cuda"),
        )
        self.mean_model = deepcopy(task.model).eval() if config.train.ema_decay else None
        self.fresh = not self._resume()
        self.board = Board(folder)

    # -- running ---------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train until the steps, the epochs or the time are used up; return where it ended."""
        train = self.config.train
        total = self._total_steps()
        bar = tqdm(total=total, initial=min(self.progress.step, total), unit="step", desc="training")
        try:
            with StopRequest() as stop:
                for batch in self._batches():
                    if self.fresh:
                        self.task.initialise(batch)
                        self._reset_mean()
                        self.fresh = False
                    values = self._step(batch)
                    bar.update()
                    step = self.progress.step
                    if step % train.log_interval == 0:
                        self._log(values, bar)
                    if step % train.eval_interval == 0 or self._share_done() >= 1:
                        self._check_finite(values)
                        self._validate(bar)
                        self._save()
                    elif stop.requested:
                        self._check_finite(values)
                        self._save()
                    if stop.requested:
                        raise KeyboardInterrupt
                    if self._share_done() >= 1:
                        break
        finally:
            bar.close()
            self.board.close()
        return self.progress

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches that are left, and keep the position in the epoch."""
        train, data = self.config.train, self.task.training_set
        sampler = EpochSampler(len(data), train.seed)
        loader = DataLoader(
            data,
            batch_size=train.batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=0 if train.all_in_mem or self.device.type == "cpu" else 4,
            pin_memory=self.device.type == "cuda",
        )
        while self.progress.epoch < train.epochs and self._share_done() < 1:
            data.epoch = sampler.epoch = self.progress.epoch
            sampler.start = self.progress.position
            for batch in loader:
                self.progress.position += len(batch.lengths)
                yield batch.to(self.device)
            self.progress.epoch += 1
            self.progress.position = 0

    def _total_steps(self) -> int:
        train = self.config.train
        per_epoch = -(-len(self.task.training_set) // train.batch_size)
        return min(train.max_steps or train.epochs * per_epoch, train.epochs * per_epoch)

    def _share_done(self) -> float:
        """Return how much of the run is done, 0–1: of its steps or its time, whichever is further."""
        steps = self.progress.step / self.config.train.max_steps if self.config.train.max_steps else 0.0
        minutes = self.progress.seconds / self.max_seconds if self.max_seconds else 0.0
        last = self.progress.epoch + 1 >= self.config.train.epochs
        ended = last and self.progress.position >= len(self.task.training_set)
        return 1.0 if ended else max(steps, minutes)

    # -- one step --------------------------------------------------------------------------------

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        """Take one optimizer step; return tensors to log, without waiting for them."""
        began = time.perf_counter()
        train, model = self.config.train, self.task.model
        model.train()
        rate = learning_rate(train, self.task.d_model, self.progress.step + 1, self._share_done())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.precision.autocast():
            total, parts = self.task.losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        scaler = self.precision.scaler
        scaler.scale(total).backward()
        scaler.unscale_(self.optimizer)  # clip true gradients, not scaled ones
        norm = nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRAD_NORM)
        scaler.step(self.optimizer)
        scaler.update()
        self._update_mean()
        self.progress.step += 1
        self.progress.seconds += time.perf_counter() - began
        return {"total": total.detach(), **{k: v.detach() for k, v in parts.items()}, "grad_norm": norm}

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
        content: dict[str, Any] = {
            "model": (self.mean_model or self.task.model).state_dict(),
            "iteration": self.progress.epoch,
            "optimizer": self.optimizer.state_dict(),
            "learning_rate": self.config.train.learning_rate,
            "progress": self.progress.state(),
            "scaler": self.precision.scaler.state_dict(),
            "rng": _rng_state(self.device),
        }
        if self.mean_model is not None:
            content["training_model"] = self.task.model.state_dict()
        write_checkpoint(self.checkpoints.path(self.progress.step), content)
        self.checkpoints.prune(self.config.train.keep_ckpts)

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
        load_weights(self.task.model, content.get("training_model", model), path)
        if self.mean_model is not None:
            load_weights(self.mean_model, model, path)
        if path == self.checkpoints.path(BASE_STEP):
            logger.warning("starting from the base model %s", path)
            return True
        self.progress = progress_of(path, content)
        self._resume_optimizer(path, content)
        if content.get("scaler"):
            self.precision.scaler.load_state_dict(content["scaler"])
        if "rng" in content:
            _set_rng_state(self.device, content["rng"])
        logger.warning("continuing from %s", path)
        return True

    def _resume_optimizer(self, path: Path, content: dict[str, Any]) -> None:
        state = content.get("optimizer")
        if not isinstance(state, dict) or not state.get("state"):
            logger.warning("%s holds no optimizer state (it was compressed); its moments start anew", path)
            return
        parameters = self.optimizer.param_groups[0]["params"]
        shapes = {i: s["exp_avg"].shape for i, s in state["state"].items() if "exp_avg" in s}
        if any(i >= len(parameters) or parameters[i].shape != shape for i, shape in shapes.items()):
            logger.warning("the optimizer state of %s is of another model; its moments start anew", path)
            return
        settings = [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state)
        for group, values in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(values)  # the configuration rules, not what was saved


def _rng_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_rng_state(device: torch.device, state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
