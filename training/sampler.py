"""The order in which a run goes through its items, the same on every run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """A fresh order for every epoch, that can start in the middle of one.

    Args:
        n_items: Items of an epoch.
        seed: The run's seed.
    """

    def __init__(self, n_items: int, seed: int) -> None:
        self.n_items, self.seed = n_items, seed
        self.epoch, self.start = 0, 0

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n_items)
        return iter(order[self.start :].tolist())

    def __len__(self) -> int:
        return self.n_items - self.start
