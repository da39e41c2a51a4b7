"""The number format of training."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

import torch

from modules.common.device import cpu_has_bf16
from modules.config import TrainConfig

logger = logging.getLogger(__name__)


class Precision:
    """The number format of a run, as an autocast context and a gradient scaler.

    Half precision is used where it is configured and fast: fp16 needs a GPU, and
    bf16 on a CPU needs AVX512-BF16 or AMX. Otherwise the next best format is
    used, with a warning.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.device = device
        name = {"fp16": "float16", "bf16": "bfloat16"}[config.half_type] if config.fp16_run else "float32"
        if device.type == "cpu" and name != "float32":
            best = "bfloat16" if cpu_has_bf16() else "float32"
            if best != name:
                logger.warning("%s is slow on this CPU; training in %s", name, best)
            name = best
        self.name, self.dtype = name, getattr(torch, name)

    def autocast(self) -> AbstractContextManager:
        """Context of the forward pass."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def grad_scaler(self) -> torch.amp.GradScaler:
        """A scaler of the loss; it does nothing unless the format is fp16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
