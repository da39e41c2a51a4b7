"""What the processes of a run tell each other at every step, in one small message.

All must take the same decisions: stop together, and follow one clock. The
answer of a step is read at the next one, when a GPU has it anyway, so that
nothing waits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.distributed import DistributedContext


class StepSync:
    """The common knowledge of all processes, as of the step before.

    Attributes:
        stop: Someone was asked to stop (Ctrl-C).
        finished: Rank 0 found that more training only harms.
        time_share: How much of the time is used, by the clock of rank 0, 0–1.
    """

    def __init__(self, context: DistributedContext) -> None:
        self.context = context
        self._answer: Tensor | None = None
        self._ready: torch.cuda.Event | None = None
        self.stop = self.finished = False
        self.time_share = 0.0

    def all_reduce(self, sums: Tensor, stop: bool, finished: bool, time_share: float) -> Tensor:
        """Return ``sums`` (K,) added up over all processes, and bring the attributes up to date."""
        if self.context.size == 1:
            return sums
        self._read()
        first = self.context.is_main
        mine = sums.new_tensor([float(stop), float(finished and first), time_share if first else 0.0])
        message = self.context.all_reduce(torch.cat([sums, mine]))
        self._answer = message[-3:].to("cpu", non_blocking=True)
        if message.is_cuda:
            self._ready = torch.cuda.Event()
            self._ready.record()
        return message[:-3]

    def _read(self) -> None:
        if self._answer is None:
            return
        if self._ready is not None:
            self._ready.synchronize()
        stop, finished, self.time_share = self._answer.tolist()
        self.stop, self.finished = stop > 0, finished > 0
