"""The items of every step: the same on every run, for any number of processes.

Items of similar length share a batch, which is padded to its longest item. The
order stays random: items are shuffled, sorted within pools of some batches, and
the steps are shuffled again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from modules.common.errors import ConfigError

_POOL = 32  # steps whose items are sorted together

Item = tuple[int, int]  # epoch and number: all that a worker needs


class EpochBatches:
    """The steps of every epoch, and the batches each process takes of them.

    Args:
        lengths: Of each item, frames.
        batch_size: Items a process computes on at once; one more where an epoch does not divide evenly.
        seed: The run's seed.
        accumulate: Batches per process and optimizer step.
        n_ranks: Processes.
        bucket: Sort by length; off for a comparison.

    Raises:
        ConfigError: There are fewer items than processes.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seed: int,
        accumulate: int = 1,
        n_ranks: int = 1,
        bucket: bool = True,
    ) -> None:
        if len(lengths) < n_ranks:
            raise ConfigError(
                f"{len(lengths)} training windows are too few for {n_ranks} processes; start fewer"
            )
        self.lengths = np.asarray(lengths)
        self.batch_size, self.seed, self.n_ranks, self.bucket = batch_size, seed, n_ranks, bucket
        self.step_size = batch_size * accumulate * n_ranks  # items of an optimizer step, about

    @property
    def n_steps(self) -> int:
        """Optimizer steps per epoch; each has at least one item for every process."""
        n_items = len(self.lengths)
        return min(-(-n_items // self.step_size), n_items // self.n_ranks)

    def steps(self, epoch: int) -> list[list[np.ndarray]]:
        """Batches of item numbers of each step of ``epoch``, in turn for rank 0, 1, ...

        Every process has the same number of batches in a step, none of them empty.
        """
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.lengths))
        pool = _POOL * self.step_size
        if self.bucket:
            pools = [order[start : start + pool] for start in range(0, len(order), pool)]
            order = np.concatenate([items[np.argsort(self.lengths[items], kind="stable")] for items in pools])
        # even shares: no step is much smaller than the others, and none too small for all processes
        steps = [self._cut(items) for items in np.array_split(order, self.n_steps)]
        return [steps[number] for number in rng.permutation(len(steps))] if self.bucket else steps

    def _cut(self, items: np.ndarray) -> list[np.ndarray]:
        turns = -(-len(items) // (self.batch_size * self.n_ranks))
        while turns > 1 and len(items) < turns * self.n_ranks:
            turns -= 1
        return np.array_split(items, turns * self.n_ranks)

    def padding(self, epoch: int = 0) -> float:
        """Fraction of an epoch's frames that is padding."""
        batches = [batch for step in self.steps(epoch) for batch in step]
        computed = sum(len(batch) * int(self.lengths[batch].max()) for batch in batches)
        return 1 - float(self.lengths.sum()) / computed

    def rank_batches(self, rank: int, epoch: int, position: int) -> Iterator[list[Item]]:
        """Yield the batches of one process, epoch after epoch without end.

        ``position``: items of the first epoch that all processes have used already.
        """
        skip = position
        while True:
            for step in self.steps(epoch):
                skip -= sum(map(len, step))
                if skip < 0:
                    for batch in step[rank :: self.n_ranks]:
                        yield [(epoch, int(number)) for number in batch]
            epoch, skip = epoch + 1, 0
