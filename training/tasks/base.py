"""The interface between the training loop and what is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from modules.config import TrainConfig
from modules.config.shared import ConfigFile
from training.data.batches import collate
from training.tasks.preview import ValidationPreview
from training.tensorboard import TensorBoardLogger


class Task(ABC):
    """A model with its data, losses and validation."""

    checkpoints: tuple[str, str]  # prefix and suffix of its files: ("G", ".pth")
    config: ConfigFile
    config_name: str  # file name of the configuration beside them
    # in terms of the configuration: what to do when memory runs out, "memory", and a loss becomes NaN, "nan";
    # how to train other speakers, "speakers", from "{checkpoint}" of this run
    advice: Mapping[str, str]
    # tensors with a row per speaker; those of a base model may be missing or of another shape
    speaker_tables: tuple[str, ...]
    optional_parts: frozenset[str]  # first names of tensors that a base model may lack, or have in addition
    training_set: Any  # items by (epoch, number), and their ``lengths`` in frames
    model: nn.Module  # built with ``train.seed``, on its device
    preview: ValidationPreview | None = None  # renders validation clips
    coefficients: Mapping[str, float]  # weight of each loss in the total
    d_model: int = 1  # width that the noam schedule scales with
    collate = staticmethod(collate)

    @staticmethod
    @abstractmethod
    def read_config(path: str | Path) -> ConfigFile:
        """Read a configuration of such a model; raises ConfigError."""

    def initialise(self, batch: Any) -> None:  # noqa: B027 - most models need nothing
        """Set weights that depend on data, before the first step of a fresh run."""

    def fine_tune(self, config: TrainConfig) -> TrainConfig:
        """Prepare for a run that started from a base model, new or continued; return ``config`` for it."""
        return config

    @abstractmethod
    def entries(self, step: int, epoch: int) -> dict[str, Any]:
        """Entries of a published checkpoint beside "model" and a saved optimizer."""

    @abstractmethod
    def weights(self, batch: Any) -> dict[str, Tensor]:
        """What each loss of ``batch`` is a mean over (number of frames, or items), as scalars."""

    @abstractmethod
    def losses(self, network: Callable[..., Any], batch: Any) -> dict[str, Tensor]:
        """Losses by name, each a mean over the batch; ``network`` is the model, maybe wrapped."""

    @abstractmethod
    def validate(self, model: Any, tensorboard: TensorBoardLogger, step: int) -> dict[str, float]:
        """Measure ``model``, which is in eval mode, on the validation clips and render some of them.

        Returns:
            Metrics by name (modules/common/metrics.py), "val_loss" among them.
        """
