"""The interface between the training loop and what is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from training.data.batches import collate
from training.tasks.preview import ValidationPreview
from training.tensorboard import TensorBoardLogger


class Task(ABC):
    """A model with its data, losses and validation.

    Attributes:
        checkpoints: Prefix and suffix of its files: ("G", ".pth").
        config_name: File name of the configuration beside them.
        advice: What to do when memory runs out, "memory", and when the loss
            becomes NaN, "nan", in terms of the task's configuration.
        speaker_tables: Tensors with a row per speaker; those of a base model
            may be missing or of another shape.
        training_set: Items by (epoch, number), and their ``lengths`` in frames.
        model: Built with ``train.seed``, on its device.
        preview: Renders validation clips.
        coefficients: Weight of each loss in the total.
        d_model: Width that the noam schedule scales with.
    """

    checkpoints: tuple[str, str]
    config_name: str
    advice: Mapping[str, str]
    speaker_tables: tuple[str, ...]
    training_set: Any
    model: nn.Module
    preview: ValidationPreview | None = None
    coefficients: Mapping[str, float]
    d_model: int = 1
    collate = staticmethod(collate)

    def initialise(self, batch: Any) -> None:  # noqa: B027 - most models need nothing
        """Set weights that depend on data, before the first step of a fresh run."""

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
        """Measure ``model`` on the validation clips and render some of them.

        Args:
            model: The model, or its running mean; in eval mode.
            tensorboard: Where pictures and sounds go.
            step: Optimizer steps done.

        Returns:
            Metrics by name (modules/common/metrics.py), "val_loss" among them.
        """
