"""What the loop asks of a model: the seam between running a training and what is trained."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.board import Board


class Batch(Protocol):
    """Items that are learned from together."""

    def __len__(self) -> int: ...  # items
    def to(self, device: torch.device) -> Batch: ...  # noqa: D102


class TrainingSet(Protocol):
    """Items by number; chance in an item follows from the epoch, which the loop sets."""

    epoch: int

    def __len__(self) -> int: ...
    def __getitem__(self, item: int) -> Any: ...


class Task(Protocol):
    """A model with its data, its losses and its measure.

    Attributes:
        checkpoints: Prefix and suffix of its files: ("G", ".pth").
        speaker_tables: Tensors with a row for each speaker; those of a base
            model may have another number of rows.
        training_set: What is learned from.
        model: Built with ``train.seed``, on its device.
        d_model: Width that the noam schedule scales with.
    """

    checkpoints: tuple[str, str]
    speaker_tables: tuple[str, ...]

    @property
    def model(self) -> nn.Module: ...  # noqa: D102
    @property
    def training_set(self) -> TrainingSet: ...  # noqa: D102
    @property
    def d_model(self) -> int: ...  # noqa: D102
    def collate(self, items: list[Any]) -> Any: ...  # noqa: D102
    def initialise(self, batch: Any) -> None: ...  # noqa: D102
    def losses(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]: ...  # noqa: D102
    def validate(self, model: Any, board: Board, step: int) -> dict[str, float]: ...  # noqa: D102
