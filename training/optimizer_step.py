"""One optimizer step: gradients over all batches and processes, clipping, the running mean."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from modules.common.errors import TrainingError
from training.data.batches import TensorBatch
from training.precision import Precision
from training.state import TrainingState
from training.step_sync import StepSync

MAX_SKIPPED = 20  # steps in a row; the scaler of float16 may halve its first scale, 2^16, as often as that

_MAX_GRAD_NORM = 5.0


class OptimizerStep:
    """Takes the steps of one run."""

    def __init__(self, state: TrainingState, precision: Precision, sync: StepSync) -> None:
        self.state, self.precision, self.sync = state, precision, sync
        self.task, self.context = state.task, state.context
        self.network = self.context.wrap(state.model)
        if state.config.compile:
            self.network = torch.compile(self.network)  # type: ignore[assignment]
        self._skipped = torch.zeros((), device=self.context.device)
        self._in_a_row = torch.zeros_like(self._skipped)

    def take(self, batches: Sequence[TensorBatch], learning_rate: float) -> dict[str, Tensor]:
        """Take one step on this process's batches, without waiting for the device.

        Returns:
            This process's share of each loss, of their "total", and of "grad_norm".

        Raises:
            TrainingError: The device is out of memory.
        """
        state = self.state
        state.model.train()
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate
        state.optimizer.zero_grad(set_to_none=True)
        try:
            values = self.backward(batches)
        except torch.OutOfMemoryError:
            raise TrainingError(
                f"{self.context.device} is out of memory. {self.task.advice['memory']}"
            ) from None
        state.scaler.unscale_(state.optimizer)  # clip true gradients, not scaled ones
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), _MAX_GRAD_NORM)
        self._skip_unless_finite(norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.update_ema()
        state.progress.step += 1
        return {**values, "grad_norm": norm / self.context.size}

    def backward(self, batches: Sequence[TensorBatch]) -> dict[str, Tensor]:
        """Add the gradients of a step; return this process's share of the losses.

        A loss is a mean over the frames, or voiced frames, of a batch. That of the
        step is the mean over those of all its batches in all processes, however
        the step is split into them.
        """
        task, context = self.task, self.context
        weights = [task.weights(batch) for batch in batches]
        names = list(weights[0])
        sums = torch.stack([torch.stack([w[name] for name in names]) for w in weights]).sum(0)
        totals = dict(zip(names, self.sync.all_reduce(sums).clamp(min=1), strict=True))
        values: dict[str, Tensor] = {}
        for number, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
            last = number == len(batches) - 1
            with nullcontext() if last or context.size == 1 else self.network.no_sync():  # type: ignore[operator]
                with self.precision.autocast():
                    parts = task.losses(self.network, batch)
                shares = {name: part * weight[name] / totals[name] for name, part in parts.items()}
                total = torch.stack([task.coefficients[name] * s for name, s in shares.items()]).sum()
                # the processes' gradients are averaged, but what belongs to a step is their sum
                self.state.scaler.scale(total * context.size).backward()
            for name, share in {**shares, "total": total}.items():
                values[name] = values[name] + share.detach() if name in values else share.detach()
        return values

    def count_skipped(self) -> float:
        """Steps skipped for non-finite gradients since the last call."""
        skipped = float(self._skipped)
        self._skipped.zero_()
        return skipped

    def check(self) -> None:
        """Check that the gradients of one of the last steps were finite; waits for the device.

        Every process finds the same: the gradients are the mean over all of them.

        Raises:
            TrainingError: :data:`MAX_SKIPPED` steps in a row, or more, were skipped.
        """
        in_a_row = int(self._in_a_row)
        if in_a_row >= MAX_SKIPPED:
            raise TrainingError(
                f"the gradients of the last {in_a_row} steps, up to step {self.state.progress.step}, were "
                f"not finite. {self.task.advice['nan']}, and start again: the last checkpoint is kept."
            )

    def _skip_unless_finite(self, norm: Tensor) -> None:
        """Make the optimizer step a no-op if the norm of the gradients is not finite.

        Clipping would spread a single infinity over all weights, for good. The
        fused optimizer reads the flag on its device, so nothing waits for it.
        """
        optimizer = self.state.optimizer
        bad = (~torch.isfinite(norm)).float()
        self._skipped += bad
        self._in_a_row = (self._in_a_row + 1) * bad
        if optimizer.param_groups[0]["fused"]:
            optimizer.found_inf = bad  # type: ignore[attr-defined] # as GradScaler does
        elif bad:
            optimizer.zero_grad(set_to_none=True)
