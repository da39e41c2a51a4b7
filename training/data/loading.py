"""Batches from the processes that read clips, whose errors are as short as those of this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import Dataset

from modules.common.errors import GlowSVCError, TrainingError
from training.data.batches import TensorBatch
from training.data.sampler import Item

Loaded = TensorBatch | GlowSVCError | OSError


class BatchDataset(Dataset[Loaded]):
    """Batches of a data set by their items; an error of a clip takes the place of its batch.

    A DataLoader would make the traceback of a worker the message of the error.
    """

    def __init__(self, items: Dataset[Any], collate: Callable[[list[Any]], TensorBatch]) -> None:
        self.items, self.collate = items, collate

    def __getitem__(self, numbers: Sequence[Item]) -> Loaded:
        try:
            return self.collate([self.items[number] for number in numbers])
        except (GlowSVCError, OSError) as error:
            return error


def next_batch(loaded: Iterator[Loaded]) -> TensorBatch:
    """Next batch of a loader of :class:`BatchDataset`.

    Raises:
        GlowSVCError: A clip cannot be used.
        OSError: The system refuses a file.
        TrainingError: A worker died.
    """
    try:
        batch = next(loaded)
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise TrainingError(
            "a process that reads clips died, most likely because memory ran out. Lower train.num_workers "
            "(0: none), and start again: the last checkpoint is kept."
        ) from None
    if isinstance(batch, Exception):
        raise batch
    return batch
