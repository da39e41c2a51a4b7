"""What the loop asks of a model: the seam between running a training and what is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.data.sampler import Item
from training.tensorboard import TensorBoardLogger


class TrainingBatch(Protocol):
    """Items that are learned from together."""

    def __len__(self) -> int: ...  # items
    def to(self, device: torch.device) -> TrainingBatch: ...  # noqa: D102


class TrainingSet(Protocol):
    """Items by epoch and number, on which alone all chance in them depends.

    Attributes:
        lengths: Of each item, frames: those of one batch should be alike.
    """

    @property
    def lengths(self) -> Sequence[int]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def __getitem__(self, item: Item) -> Any: ...


class Task(Protocol):
    """A model with its data, its losses and its measure.

    Attributes:
        checkpoints: Prefix and suffix of its files: ("G", ".pth").
        config_name: Of the configuration that lies beside them.
        advice: What to do when memory is short, "memory", and when the loss
            becomes NaN, "nan": the settings have names of their own.
        speaker_tables: Tensors that know the speakers; those of a base model
            may be missing or of another shape, since it knows others.
        training_set: What is learned from.
        model: Built with ``train.seed``, on its device.
        coefficients: What each loss counts in the total.
        d_model: Width that the noam schedule scales with.
    """

    checkpoints: tuple[str, str]
    config_name: str
    advice: Mapping[str, str]
    speaker_tables: tuple[str, ...]

    @property
    def coefficients(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def model(self) -> nn.Module: ...  # noqa: D102
    @property
    def training_set(self) -> TrainingSet: ...  # noqa: D102
    @property
    def d_model(self) -> int: ...  # noqa: D102
    def collate(self, items: list[Any]) -> Any: ...  # noqa: D102
    def prepare(self) -> None:
        """Load what validation needs, so that a wrong file is found before the first step."""
        ...

    def initialise(self, batch: Any) -> None: ...  # noqa: D102
    def entries(self, step: int, epoch: int) -> dict[str, Any]:
        """Return what a published checkpoint holds beside "model" and a saved optimizer."""
        ...

    def weights(self, batch: Any) -> dict[str, Tensor]:
        """Return over how much each loss of ``batch`` is a mean (frames, items), as scalars."""
        ...

    def losses(self, network: Callable[..., Any], batch: Any) -> dict[str, Tensor]:
        """Return the losses by name, each a mean over the batch; ``network`` is the model, wrapped or not."""
        ...

    def validate(self, model: Any, tensorboard: TensorBoardLogger, step: int) -> dict[str, float]:
        """Return numbers by name, "val_loss" among them."""
        ...
