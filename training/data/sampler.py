"""The items of every step: the same on every run, for any number of processes.

Items of similar length share a batch, which is padded to its longest item. The
order stays random: items are shuffled, sorted within pools of some batches, and
the steps are shuffled again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from modules.common.errors import ConfigError

_POOL = 32  # steps whose items are sorted together

Item = tuple[int, int]  # epoch and number: all that a worker needs


@dataclass(frozen=True)
class BatchShape:
    """Sizes of the batches of an epoch.

    Attributes:
        batch_size: Items a process computes on at once; one more where an epoch does not divide evenly.
        accumulate: Such batches per process and optimizer step.
        n_ranks: Processes.
    """

    batch_size: int
    accumulate: int = 1
    n_ranks: int = 1

    @property
    def step_size(self) -> int:
        """Approximate number of items of one optimizer step."""
        return self.batch_size * self.accumulate * self.n_ranks


class EpochBatches:
    """The steps of every epoch, and the batches each process takes of them.

    Args:
        lengths: Of each item, frames.
        shape: Sizes of the batches.
        seed: The run's seed.
        bucket: Sort by length; off for a comparison.

    Raises:
        ConfigError: There are fewer items than processes.
    """

    def __init__(self, lengths: Sequence[int], shape: BatchShape, seed: int, bucket: bool = True) -> None:
        if len(lengths) < shape.n_ranks:
            raise ConfigError(
                f"{len(lengths)} training windows are too few for {shape.n_ranks} processes; start fewer"
            )
        self.lengths = np.asarray(lengths)
        self.shape, self.seed, self.bucket = shape, seed, bucket

    @property
    def n_steps(self) -> int:
        """Optimizer steps per epoch; each has at least one item for every process."""
        n_items = len(self.lengths)
        return min(-(-n_items // self.shape.step_size), n_items // self.shape.n_ranks)

    def steps(self, epoch: int) -> list[list[np.ndarray]]:
        """Batches of item numbers of each step of ``epoch``, in turn for rank 0, 1, ...

        Every process has the same number of batches in a step, none of them empty.
        """
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.lengths))
        pool = _POOL * self.shape.step_size
        if self.bucket:
            pools = [order[start : start + pool] for start in range(0, len(order), pool)]
            order = np.concatenate([items[np.argsort(self.lengths[items], kind="stable")] for items in pools])
        # even shares: no step is much smaller than the others, and none too small for all processes
        steps = [self._cut(items) for items in np.array_split(order, self.n_steps)]
        return [steps[number] for number in rng.permutation(len(steps))] if self.bucket else steps

    def _cut(self, items: np.ndarray) -> list[np.ndarray]:
        turns = -(-len(items) // (self.shape.batch_size * self.shape.n_ranks))
        while turns > 1 and len(items) < turns * self.shape.n_ranks:
            turns -= 1
        return np.array_split(items, turns * self.shape.n_ranks)

    def padding(self, epoch: int = 0) -> float:
        """Fraction of an epoch's frames that is padding."""
        batches = [batch for step in self.steps(epoch) for batch in step]
        computed = sum(len(batch) * int(self.lengths[batch].max()) for batch in batches)
        return 1 - float(self.lengths.sum()) / computed


class RankBatches:
    """The batches of one process, epoch after epoch without end: a DataLoader's batch_sampler.

    Args:
        epochs: The batches of all processes.
        rank: Of the process.
        epoch: The first.
        position: Items of that epoch that all processes have used already.
    """

    def __init__(self, epochs: EpochBatches, rank: int, epoch: int, position: int) -> None:
        self.epochs, self.rank, self.epoch, self.position = epochs, rank, epoch, position

    def __iter__(self) -> Iterator[list[Item]]:
        epoch, skip = self.epoch, self.position
        while True:
            for step in self.epochs.steps(epoch):
                skip -= sum(map(len, step))
                if skip < 0:
                    for batch in step[self.rank :: self.epochs.shape.n_ranks]:
                        yield [(epoch, int(number)) for number in batch]
            epoch, skip = epoch + 1, 0
