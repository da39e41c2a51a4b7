"""The training loop: step, log, validate and save, each a function of its own.

It knows nothing of the model beyond its task (training/tasks/base.py), and nothing of
other processes beyond its world (training/distributed.py). Everything a step depends
on is a function of the step or is in the checkpoint, so a run that was stopped
goes on as if it had not been.
"""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from modules.common.errors import TrainingError
from modules.common.progress import progress_bar
from modules.config import TrainConfig
from training.budget import Budget
from training.data.sampler import BatchShape, EpochBatches, RankBatches
from training.distributed import DistributedContext
from training.early_stopping import BestTracker
from training.interrupt import StopRequest
from training.precision import Precision
from training.progress import CheckpointFolder, Progress
from training.schedule import learning_rate
from training.state import RunState
from training.step_sync import StepSync
from training.tasks.base import Task, TrainingBatch
from training.tensorboard import TensorBoardLogger

logger = logging.getLogger(__name__)

_MAX_GRAD_NORM = 5.0
_WORKERS = 4  # processes that read clips for one GPU, unless the configuration says how many


def _ignore_interrupts(worker: int) -> None:
    """Let a process that reads clips live through Ctrl-C: the last step still needs it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Trainer:
    """One run of one task; one such object per process.

    Args:
        task: The model and its losses.
        config: How to train.
        folder: Checkpoints and logs.
        context: The run's processes, and this one's device.
        max_minutes: Stop after this much time; 0 is no limit. The cosine
            schedule ends there too. Only what follows the last step comes on
            top: it is validated and saved.
        base: A model to start from if the folder has no checkpoint of the
            run's own; None: the G_0.pth or model_0.pt in it, if there is one.

    Raises:
        CheckpointError: The base model or the folder's checkpoints do not fit, or none can be read.
        ConfigError: There are fewer training windows than processes.
    """

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        folder: Path,
        context: DistributedContext,
        max_minutes: float = 0.0,
        base: Path | None = None,
    ) -> None:
        self.task, self.config, self.context, self.base = task, config, context, base
        self.epochs = EpochBatches(
            task.training_set.lengths,
            BatchShape(config.batch_size, config.accumulate_steps, context.size),
            config.seed,
        )
        self.checkpoints = CheckpointFolder(folder, *task.checkpoints)
        self.precision = Precision(config, context.device)
        self.progress = Progress()
        self.optimizer = torch.optim.AdamW(
            task.model.parameters(),
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=context.device.type in ("cpu", "cuda"),
        )
        self._skipped = torch.zeros((), device=context.device)
        self.mean_model = deepcopy(task.model).eval() if config.ema_decay else None
        self.state = RunState(self)
        self.fresh = not self.state.resume()
        n_items, n_steps = len(self.epochs.lengths), self.epochs.n_steps
        self.budget = Budget(config, n_items, n_steps, self.progress, max_minutes)
        self.sync = StepSync(context)
        self.tensorboard = TensorBoardLogger(folder) if context.is_main else None
        self.tracker = BestTracker(
            folder / "metrics.csv", config.best_by, config.patience, self.state.tracker, self.progress.step
        )
        self._saved = self.progress.step
        self._network = context.wrap(task.model)
        if config.compile:
            self._network = torch.compile(self._network)  # type: ignore[assignment]

    # -- running ---------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train until the steps, the epochs, the time or the patience are used up; return where it ended."""
        if self.tensorboard:  # the process that validates
            self.task.prepare()
        budget = self.budget
        budget.start()
        bar = progress_bar(
            total=budget.expected_steps(),
            initial=self.progress.step,
            unit="step",
            desc="training",
            leave=True,
            disable=not self.context.is_main,
        )
        try:
            with StopRequest() as stop:
                for batches in self._batches():
                    if self.fresh:
                        self.task.initialise(batches[0])
                        self.context.broadcast(list(self.task.model.state_dict().values()))
                        self._reset_mean()
                        self.fresh = False
                    values = self._step(batches, stop.requested)
                    budget.tick()
                    bar.total = budget.expected_steps()
                    bar.update()
                    self._after_step(values, bar, stop)
            if self._saved != self.progress.step:  # patience is over, as heard a step later
                self._save()
        finally:
            bar.close()
            if self.tensorboard:
                self.tensorboard.close()
        if self.context.is_main:
            reason = self._patience_over() if self.tracker.finished else budget.used_up()
            logger.info("stopped at step %d: %s", self.progress.step, reason)
        return self.progress

    def _after_step(self, values: dict[str, Tensor], bar: tqdm, stop: StopRequest) -> None:
        """Log, validate and save when it is time; every process decides alike."""
        train, step = self.config, self.progress.step
        stopping = self.sync.stop if self.context.size > 1 else stop.requested
        validating = step % train.eval_interval == 0 or self._share() >= 1
        logging_now = step % train.log_interval == 0
        forced = train.force_save_interval > 0 and step % train.force_save_interval == 0
        if not (validating or logging_now or stopping or forced):
            return
        numbers = self._numbers(values)
        if logging_now:
            self._log(numbers, bar)
        if validating:
            try:
                self._validate(numbers, bar)
            except Exception:  # no memory, no space for a picture: the steps are not lost by it
                self._save()
                raise
        if validating or stopping or forced:
            self.budget.tick()
            self._save()
        if stopping:
            raise KeyboardInterrupt

    def _save(self) -> None:
        self.state.save()
        self._saved = self.progress.step

    def _share(self) -> float:
        """Return how much of the run is done, 0–1; the same in every process."""
        if self.context.size == 1:
            return self.budget.share()
        return max(self.budget.steps_share(), self.sync.time_share)

    def _is_over(self) -> bool:
        finished = self.tracker.finished if self.context.size == 1 else self.sync.finished
        return self._share() >= 1 or finished

    def _batches(self) -> Iterator[list[TrainingBatch]]:
        """Yield for every step that is left this process's batches, and keep the position in the epoch."""
        train, progress, context = self.config, self.progress, self.context
        mine = RankBatches(self.epochs, context.rank, progress.epoch, progress.position)
        workers = 0 if train.all_in_mem or context.device.type == "cpu" else _WORKERS
        workers = workers if train.num_workers < 0 else train.num_workers
        loader: DataLoader[Any] = DataLoader(
            self.task.training_set,  # type: ignore[arg-type] # whatever has items will do
            batch_sampler=mine,
            collate_fn=self.task.collate,
            num_workers=workers,
            pin_memory=context.device.type == "cuda",
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_interrupts,
            generator=torch.Generator(),  # else it takes numbers that dropout would have got
        )
        local = iter(loader)
        while progress.epoch < train.epochs and not self._is_over():
            before = 0
            for step in self.epochs.steps(progress.epoch):
                before += sum(map(len, step))
                if before <= progress.position:
                    continue
                batches = [next(local).to(context.device) for _ in range(len(step) // context.size)]
                progress.position = before
                yield batches
                if self._is_over():
                    return
            progress.epoch += 1
            progress.position = 0

    # -- one step --------------------------------------------------------------------------------

    def _step(self, batches: list[TrainingBatch], stop_requested: bool = False) -> dict[str, Tensor]:
        """Take one optimizer step; return this process's share of each number, without waiting for it."""
        train, model = self.config, self.task.model
        model.train()
        rate = learning_rate(train, self.task.d_model, self.progress.step + 1, self._share())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        try:
            values = self._backward(batches, stop_requested)
        except torch.OutOfMemoryError:
            raise TrainingError(
                f"{self.context.device} is out of memory. {self.task.advice['memory']}"
            ) from None
        scaler = self.precision.scaler
        scaler.unscale_(self.optimizer)  # clip true gradients, not scaled ones
        norm = nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRAD_NORM)
        self._skip_unless_finite(norm)
        scaler.step(self.optimizer)
        scaler.update()
        self._update_mean()
        self.progress.step += 1
        return {**values, "grad_norm": norm / self.context.size}

    def _backward(self, batches: list[TrainingBatch], stop_requested: bool = False) -> dict[str, Tensor]:
        """Add the gradients of a step; return this process's share of the losses.

        A loss is a mean over what a batch holds of its kind: frames, or voiced
        frames. The step's is the mean over all that its batches hold together,
        in all processes, so it does not matter how they are cut.
        """
        task, context, scaler = self.task, self.context, self.precision.scaler
        weights = [task.weights(batch) for batch in batches]
        names = list(weights[0])
        sums = torch.stack([torch.stack([w[name] for name in names]) for w in weights]).sum(0)
        sums = self.sync.all_reduce(sums, stop_requested, self.tracker.finished, self.budget.time_share())
        totals = dict(zip(names, sums.clamp(min=1), strict=True))
        values: dict[str, Tensor] = {}
        for number, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
            last = number == len(batches) - 1
            with nullcontext() if last or context.size == 1 else self._network.no_sync():  # type: ignore[operator]
                with self.precision.autocast():
                    parts = task.losses(self._network, batch)
                shares = {name: part * weight[name] / totals[name] for name, part in parts.items()}
                total = torch.stack([task.coefficients[name] * s for name, s in shares.items()]).sum()
                # the processes' gradients are averaged, but what belongs to a step is their sum
                scaler.scale(total * context.size).backward()
            for name, share in {**shares, "total": total}.items():
                values[name] = values[name] + share.detach() if name in values else share.detach()
        return values

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
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            mean: list[Tensor] = [*self.mean_model.parameters()]
            now: list[Tensor] = [*self.task.model.parameters()]
            torch._foreach_lerp_(mean, now, 1 - decay)

    def _reset_mean(self) -> None:
        if self.mean_model is not None:
            self.mean_model.load_state_dict(self.task.model.state_dict())

    # -- log and validate --------------------------------------------------------------------------

    def _numbers(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Return the numbers of the step that was taken, over all processes.

        Raises:
            TrainingError: The loss is no number: do not go on, and above all do not save.
        """
        names = list(values)
        sums = self.context.all_reduce(torch.stack([values[name] for name in names])).tolist()
        numbers = dict(zip(names, sums, strict=True))
        if not math.isfinite(numbers["total"]):
            raise TrainingError(
                f"the loss became {numbers['total']} at step {self.progress.step}. "
                f"{self.task.advice['nan']}, and start again: the last checkpoint is kept."
            )
        return numbers

    def _log(self, numbers: dict[str, float], bar: tqdm) -> None:
        skipped = float(self._skipped)
        self._skipped.zero_()
        if self.tensorboard is None:
            return
        curves = {f"train/{name}": value for name, value in numbers.items()}
        curves |= {"train/learning_rate": self._rate, "train/skipped_steps": skipped}
        if skipped and not self.precision.scaler.is_enabled():  # the scaler finds its scale by such steps
            logger.warning(
                "step %d: non-finite gradients: %d steps skipped",
                self.progress.step,
                skipped,
            )
        self.tensorboard.scalars(curves, self.progress.step)
        shown = {k: f"{v:.3f}" for k, v in numbers.items() if k != "grad_norm"}
        bar.set_postfix({"epoch": self.progress.epoch, **shown})

    @property
    def _rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def _validate(self, numbers: dict[str, float], bar: tqdm) -> None:
        """Measure on the held-out clips, in one process; keep the best model."""
        if self.tensorboard is None:
            return
        model, step = self.mean_model or self.task.model, self.progress.step
        model.eval()
        values = self.task.validate(model, self.tensorboard, step)
        self.tensorboard.scalars({f"validation/{k}": v for k, v in values.items()}, step)
        bar.write(
            f"step {step}: validation " + ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        )
        facts = {
            "epoch": self.progress.epoch,
            "seconds": self.progress.seconds,
            "learning_rate": self._rate,
            "train_loss": numbers["total"],
        }
        if self.tracker.update(step, {**facts, **values}):
            self.state.save_best()

    def _patience_over(self) -> str:
        tracker = self.tracker
        return (
            f"{tracker.best_by} has not improved in {tracker.patience} validations; the best was step "
            f"{tracker.best_step}"
        )
