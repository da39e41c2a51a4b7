"""Which number format a training step computes in, decided once."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

import torch

from modules.common.device import cpu_has_bf16
from modules.config import TrainConfig

logger = logging.getLogger(__name__)


class Precision:
    """The number format of a run, as an autocast context and a gradient scaler.

    Half precision is what the configuration asks for, where the device is good
    at it: fp16 needs a GPU, and bf16 on a CPU needs instructions for it
    (AVX512-BF16 or AMX); otherwise the next best format is taken and announced.

    Args:
        config: ``fp16_run`` and ``half_type`` are read.
        device: Where the model lives.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.device = device
        self.dtype = torch.float32
        if config.fp16_run:
            self.dtype = torch.float16 if config.half_type == "fp16" else torch.bfloat16
        if device.type == "cpu" and self.dtype != torch.float32:
            best = torch.bfloat16 if cpu_has_bf16() else torch.float32
            if best != self.dtype:
                logger.warning("%s is slow on this CPU; training in %s", _name(self.dtype), _name(best))
            self.dtype = best

    def autocast(self) -> AbstractContextManager:
        """Return the context in which the forward pass runs."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def grad_scaler(self) -> torch.amp.GradScaler:
        """A scaler of the loss; it does nothing unless the format is fp16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    @property
    def name(self) -> str:
        """The format's short name: float32, bfloat16 or float16."""
        return _name(self.dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
