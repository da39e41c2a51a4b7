"""What the processes of a run exchange at every step, in one small message.

All must decide alike: stop together, and follow one clock. The message of a
step is read at the next one, when it has arrived anyway, so nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from training.distributed import DistributedContext


class Signals(NamedTuple):
    """What a run's end depends on, beside the number of steps."""

    stop: bool = False  # a process was asked to stop (Ctrl-C)
    finished: bool = False  # rank 0 validates, and its patience is used up
    time: float = 0.0  # fraction of the time that is used, by the clock of rank 0


class StepSync:
    """Adds up tensors over all processes, and exchanges with them the :class:`Signals` that ``own`` gives."""

    def __init__(self, context: DistributedContext, own: Callable[[], Signals]) -> None:
        self.context, self.own = context, own
        self._signals = Signals()
        self._message: Tensor | None = None
        self._ready: torch.cuda.Event | None = None

    def all_reduce(self, sums: Tensor) -> Tensor:
        """Sum of ``sums`` (K,) over all processes; sends this process's signals along."""
        if self.context.size == 1:
            return sums
        if self._message is not None:
            if self._ready is not None:
                self._ready.synchronize()
            stop, finished, time = self._message.tolist()
            self._signals = Signals(stop > 0, finished > 0, time)
        own, main = self.own(), self.context.is_main
        mine = sums.new_tensor([float(own.stop), float(own.finished and main), own.time if main else 0.0])
        message = self.context.all_reduce(torch.cat([sums, mine]))
        self._message = message[-3:].to("cpu", non_blocking=True)
        if message.is_cuda:
            self._ready = torch.cuda.Event()
            self._ready.record()
        return message[:-3]

    def agreed(self) -> Signals:
        """Signals that every process acts on: those of the step before; a single process's are its own."""
        return self.own() if self.context.size == 1 else self._signals
