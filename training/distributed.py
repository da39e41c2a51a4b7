"""The processes of a run: one, or as many as torchrun started, on one machine or several.

DistributedDataParallel averages the gradients; this is the rest. With one
process nothing here does anything, so the loop has one path.
"""

from __future__ import annotations

import gc
import logging
import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from modules.common.children import end_with
from modules.common.errors import ConfigError, TrainingError

logger = logging.getLogger(__name__)

_TIMEOUT = timedelta(hours=2)  # the others wait while rank 0 validates


class DistributedContext:
    """The run's processes as one of them sees them.

    Attributes:
        rank: Number of this process.
        size: How many there are.
        device: Of this process.

    Args:
        device: What the user asked for; "cuda" without a number becomes this
            process's own GPU.

    Raises:
        ConfigError: There are more processes than GPUs on this machine, or one GPU was asked for.
        TrainingError: The processes cannot find each other.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = device if self.size == 1 else _own_gpu(device)
        if self.device.index is not None and self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.size == 1:
            return
        end_with(os.getppid())
        backend = "nccl" if device.type == "cuda" and dist.is_nccl_available() else "gloo"
        if device.type == "cuda" and backend == "gloo" and self.is_main:
            logger.info("this PyTorch has no NCCL; the GPUs exchange gradients through gloo, which is slower")
        try:
            dist.init_process_group(backend, timeout=_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise TrainingError(
                f"process {self.rank} of {self.size} cannot reach the others: {reason}"
            ) from None

    def __enter__(self) -> DistributedContext:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.close()
        if self.size > 1 and _is_lost(error):
            reason = str(error).strip().splitlines()[0]
            raise TrainingError(
                f"process {self.rank} of {self.size} lost another one, which ended or is away: {reason}"
            ) from None

    @property
    def is_main(self) -> bool:
        """Whether this process is rank 0, which validates, logs and writes files."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """``model``, whose backward pass averages its gradients over all processes."""
        if self.size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            model, device_ids=ids, broadcast_buffers=False, gradient_as_bucket_view=True
        )

    def all_reduce(self, values: Tensor) -> Tensor:
        """Sum of ``values`` over all processes, in place; a GPU does not wait for it."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, tensors: list[Tensor]) -> None:
        """Copy rank 0's values of ``tensors`` to all processes, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def all_gather(self, value: Any) -> list[Any]:
        """``value`` of every process, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def close(self) -> None:
        """Leave the process group, so that its processes end without warnings."""
        if self.size > 1 and dist.is_initialized():
            gc.collect()  # of the trainer, whose wrapped model still holds on to the group
            dist.destroy_process_group()


def _own_gpu(device: torch.device) -> torch.device:
    """What one of several processes trains on when the user asked for ``device``."""
    if device.type == "mps":
        raise ConfigError("Apple's GPU trains in one process: start without torchrun, or add --device cpu")
    if device.type != "cuda":
        return device
    local, there = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if device.index is not None:
        if local or int(os.environ.get("LOCAL_WORLD_SIZE", 1)) > 1:
            raise ConfigError(
                f"device {device} is a single GPU, and this machine runs several processes, each of which "
                "needs its own. Remove --device, or lower torchrun's --nproc_per_node to 1"
            )
        return device
    if local >= there:
        raise ConfigError(
            f"process {local} of this machine has no GPU: there are {there}. "
            "Lower torchrun's --nproc_per_node"
        )
    return torch.device("cuda", local)


def _is_lost(error: BaseException | None) -> bool:
    """Whether an error comes from the connection to the other processes."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
