"""The training loop: step, log, validate and save, each a function of its own.

It knows nothing of the model beyond its task (training/tasks/base.py), and nothing of
other processes beyond its context (training/distributed.py). Everything a step depends
on is a function of the step or is in the checkpoint, so a stopped run resumes exactly.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from modules.common.allocator import keep_freed_memory
from modules.common.progress import progress_bar
from modules.config import TrainConfig
from training.budget import Budget
from training.data.batches import TensorBatch
from training.data.loading import BatchDataset, next_batch
from training.data.sampler import EpochBatches
from training.distributed import DistributedContext
from training.interrupt import StopRequest, ignore_interrupts
from training.optimizer_step import MAX_SKIPPED, OptimizerStep
from training.precision import Precision
from training.progress import CheckpointFolder, Progress
from training.schedule import learning_rate
from training.state import TrainingState
from training.step_sync import Signals, StepSync
from training.tasks.base import Task
from training.tensorboard import TensorBoardLogger

logger = logging.getLogger(__name__)

_WORKERS = 4  # processes that read clips for one GPU, unless the configuration says how many


class Trainer:
    """One run of one task; one such object per process.

    Args:
        task: The model and its losses.
        config: How to train.
        folder: Checkpoints and logs.
        context: The run's processes, and this one's device.
        max_minutes: Stop after this much time; 0: no limit. The cosine schedule
            ends there too. The last validation and checkpoint come on top.
        base: A model to start from if the folder has no checkpoint of the
            run's own; None: the G_0.pth or model_0.pt in it, if there is one.

    Raises:
        CheckpointError: The base model or the folder's checkpoints do not fit, or none can be read.
        ConfigError: There are fewer training windows than processes; or the folder's run is of
            other speakers, or its units are aligned by another rule.
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
        self.task, self.config, self.context = task, config, context
        self.epochs = EpochBatches(
            task.training_set.lengths, config.batch_size, config.seed, config.accumulate_steps, context.size
        )
        self.precision = Precision(config, context.device)
        self.checkpoints = CheckpointFolder(folder, *task.checkpoints)
        self.state = TrainingState(task, config, self.checkpoints, self.precision.grad_scaler(), context)
        self.state.resume(base)
        self.progress, self.tracker = self.state.progress, self.state.tracker
        if self.progress.based:
            self.config = task.fine_tune(config)
        self._saved = self.progress.step
        self.budget = Budget(
            config, len(self.epochs.lengths), self.epochs.n_steps, self.progress, max_minutes
        )
        self._stop = StopRequest()
        self.sync = StepSync(context, self._signals)
        self.optimizer_step = OptimizerStep(self.state, self.precision, self.sync)
        self.tensorboard = TensorBoardLogger(folder, self.progress.step + 1) if context.is_main else None

    # -- running ---------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train until the steps, the epochs, the time or the patience are used up; return where it ended.

        Raises:
            KeyboardInterrupt: It was asked to stop, and the last step is saved.
            TrainingError: The gradients stay NaN or infinite, or memory ran out.
        """
        keep_freed_memory()
        if self.context.is_main and self.task.preview:  # a wrong vocoder is found before the first step
            self.task.preview.load()
        self.budget.start()
        bar = progress_bar(
            total=self.budget.expected_steps(),
            initial=self.progress.step,
            unit="step",
            desc="training",
            leave=True,
            disable=not self.context.is_main,
        )
        try:
            with StopRequest() as self._stop:
                for batches in self.batches():
                    if self.state.fresh:
                        self.state.initialise(batches[0])
                    values = self.step(batches)
                    self.budget.tick()
                    bar.total = self.budget.expected_steps()
                    bar.update()
                    self._after_step(values, bar)
            if self._saved != self.progress.step:  # the patience ran out, as is known a step later
                self.state.save()
        finally:
            bar.close()
            if self.tensorboard:
                self.tensorboard.close()
        if self.context.is_main:
            reason = self.tracker.stop_reason() if self.tracker.finished else self.budget.stop_reason()
            logger.info("stopped at step %d: %s", self.progress.step, reason)
        return self.progress

    def batches(self) -> Iterator[list[TensorBatch]]:
        """Yield this process's batches of every remaining step, and keep the position in the epoch."""
        progress, context = self.progress, self.context
        local = iter(self._loader())
        while progress.epoch < self.config.epochs and not self.is_over():
            before = 0
            for step in self.epochs.steps(progress.epoch):
                before += sum(map(len, step))
                if before <= progress.position:
                    continue
                batches = [next_batch(local).to(context.device) for _ in range(len(step) // context.size)]
                progress.position = before
                yield batches
                if self.is_over():
                    return
            progress.epoch += 1
            progress.position = 0

    def step(self, batches: Sequence[TensorBatch]) -> dict[str, Tensor]:
        """Take one optimizer step; see :meth:`training.optimizer_step.OptimizerStep.take`."""
        step = self.progress.step - self.progress.start + 1
        rate = learning_rate(self.config, self.task.d_model, step, self._fraction_done())
        return self.optimizer_step.take(batches, rate)

    def is_over(self) -> bool:
        """Whether the steps, epochs, time or patience are used up; the same in every process."""
        return self._fraction_done() >= 1 or self.sync.agreed().finished

    def _signals(self) -> Signals:
        """This process's own."""
        return Signals(self._stop.requested, self.tracker.finished, self.budget.fraction_of_time())

    def _fraction_done(self) -> float:
        """How much of the run is done, 0–1; the same in every process."""
        return max(self.budget.fraction_of_steps(), self.sync.agreed().time)

    def _loader(self) -> DataLoader[Any]:
        config, on_gpu = self.config, self.context.device.type == "cuda"
        workers = 0 if config.all_in_mem or self.context.device.type == "cpu" else _WORKERS
        workers = workers if config.num_workers < 0 else config.num_workers
        return DataLoader(
            BatchDataset(self.task.training_set, self.task.collate),
            batch_size=None,
            sampler=self.epochs.rank_batches(self.context.rank, self.progress.epoch, self.progress.position),
            num_workers=workers,
            pin_memory=on_gpu,
            persistent_workers=workers > 0,
            worker_init_fn=ignore_interrupts,
            generator=torch.Generator(),  # else it would draw from the generator of dropout
        )

    # -- log, validate, save -----------------------------------------------------------------------

    def _after_step(self, values: dict[str, Tensor], bar: tqdm) -> None:
        """Log, validate and save when it is time; every process decides alike."""
        config, step = self.config, self.progress.step
        stopping = self.sync.agreed().stop
        validating = step % config.eval_interval == 0 or self._fraction_done() >= 1
        logging_now = step % config.log_interval == 0
        forced = config.force_save_interval > 0 and step % config.force_save_interval == 0
        acting = validating or logging_now or stopping or forced
        if not stopping and (acting or step % MAX_SKIPPED == 0):  # rarely: a GPU has to wait
            self.optimizer_step.check()
        if not acting:
            return
        losses = self._losses(values)
        if logging_now:
            self._log(losses, bar)
        if validating:
            try:
                self._validate(losses["total"], bar)
            except Exception:  # no memory, no disk space: the steps are not lost
                self.state.save()
                raise
        if validating or stopping or forced:
            self.budget.tick()
            self.state.save()
            self._saved = step
        if stopping:
            raise KeyboardInterrupt

    def _losses(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Losses and the norm of the gradients of the last step, over all processes."""
        sums = self.context.all_reduce(torch.stack(list(values.values()))).tolist()
        return dict(zip(values, sums, strict=True))

    def _log(self, losses: dict[str, float], bar: tqdm) -> None:
        skipped = self.optimizer_step.count_skipped()
        if self.tensorboard is None:
            return
        curves = {f"train/{name}": value for name, value in losses.items()}
        curves |= {"train/learning_rate": self.state.learning_rate, "train/skipped_steps": skipped}
        if skipped and not self.state.scaler.is_enabled():  # the scaler finds its scale by such steps
            logger.warning("step %d: non-finite gradients: %d steps skipped", self.progress.step, skipped)
        self.tensorboard.scalars(curves, self.progress.step)
        shown = {k: f"{v:.3f}" for k, v in losses.items() if k != "grad_norm"}
        bar.set_postfix({"epoch": self.progress.epoch, **shown})

    def _validate(self, train_loss: float, bar: tqdm) -> None:
        """Measure on the validation clips, in one process; keep the best model."""
        if self.tensorboard is None:
            return
        model, step = self.state.validated_model.eval(), self.progress.step
        metrics = self.task.validate(model, self.tensorboard, step)
        self.tensorboard.scalars({f"validation/{name}": value for name, value in metrics.items()}, step)
        bar.write(
            f"step {step}: validation " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        )
        row = {
            "epoch": self.progress.epoch,
            "seconds": self.progress.seconds,
            "learning_rate": self.state.learning_rate,
            "train_loss": train_loss,
        }
        if self.tracker.update(step, {**row, **metrics}):
            self.state.save_best()
