"""Launching a run, one process for each GPU of this machine, and the lines printed before and after it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from modules.common.children import child_environment, wait_for
from modules.common.errors import ConfigError, TrainingError
from modules.common.files import exclusive
from modules.config import Config
from modules.config.shared import ConfigFile

if TYPE_CHECKING:
    from training.distributed import DistributedContext
    from training.loop import Trainer

logger = logging.getLogger(__name__)


def wanted_processes(device: torch.device) -> int:
    """Number of processes to start for a run on ``device``; 1 within torchrun."""
    if "WORLD_SIZE" in os.environ or device.type != "cuda" or device.index is not None:
        return 1
    count = torch.cuda.device_count()
    if count > 1 and not distributed.is_available():
        logger.warning("this PyTorch cannot train on several GPUs; training on one of %d", count)
        return 1
    return count


def launch(script: str, arguments: Sequence[str], count: int, port: str) -> int:
    """Run ``script`` in ``count`` processes that find each other at ``port``; return the exit code.

    Signals that ask this process to end are passed on to them, and they are
    waited for: they save first.

    Raises:
        ConfigError: The port is in use or invalid.
        TrainingError: A process failed and printed the reason; the others were ended.
        KeyboardInterrupt: The run was asked to end, and has.
    """
    check_port(port)
    # not torchrun, which adds a traceback to every error, and needs libuv, which PyTorch on Windows lacks
    environment = {"OMP_NUM_THREADS": "1", **child_environment(), "MASTER_ADDR": "127.0.0.1"}
    environment |= {"MASTER_PORT": port, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    processes = [
        subprocess.Popen(
            [sys.executable, script, *arguments],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            start_new_session=True,
        )
        for rank in range(count)
    ]
    code = wait_for(processes)
    if code < 0:
        raise TrainingError(
            f"a process of the run was killed by signal {-code}, perhaps for want of memory; the others "
            "were ended. Run the same command again: it continues from the last checkpoint"
        )
    if code:
        raise TrainingError("a process of the run failed, and the others were ended; its message is above")
    return 0


def check_port(port: str) -> None:
    """Check that ``port`` of this machine is free.

    Raises:
        ConfigError: It is in use or invalid.
    """
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"train.port must be a number from 1 to 65535, not {port!r}")
    with socket.socket() as probe:
        if os.name == "posix":  # else connections that ended a minute ago count
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError:
            raise ConfigError(
                f"port {port} is in use, perhaps by another training; choose another train.port in the "
                "configuration"
            ) from None


@contextmanager
def only_training(folder: Path, context: DistributedContext) -> Iterator[None]:
    """Keep other trainings out of ``folder``.

    Raises:
        TrainingError: There is one.
    """
    if not context.is_main:
        yield
        return
    with exclusive(folder / ".lock", f"another training writes to {folder}; wait until it ends, or stop it"):
        yield


def warn_of_unused(config: ConfigFile, values: Mapping[str, Any], source: str | Path) -> None:
    """Warn of settings without effect in the configuration ``source``, which holds ``values``."""
    unused = config.unused_settings(values)
    if isinstance(config, Config) and config.train.vol_aug and not config.model.vol_embedding:
        unused.append("train.vol_aug (it needs model.vol_embedding)")
    if unused:
        logger.warning("%s: without effect: %s", source, ", ".join(unused))


def describe_run(trainer: Trainer, n_training: int, n_validation: int) -> str:
    """Numbers of clips, parameters, processes and steps."""
    n_parameters = sum(p.numel() for p in trainer.task.model.parameters())
    context, epochs = trainer.context, trainer.epochs
    processes = f" in each of {context.size} processes" if context.size > 1 else ""
    return (
        f"{n_training} training and {n_validation} validation clips; {n_parameters / 1e6:.1f} M parameters, "
        f"{trainer.precision.name} on {context.device.type}{processes}; {epochs.n_steps} steps per epoch, "
        f"{epochs.padding():.1%} padding"
    )


def describe_result(trainer: Trainer) -> str:
    """The last checkpoint, and the best one if there is one."""
    step, tracker = trainer.progress.step, trainer.tracker
    lines = [f"trained {step} steps: {trainer.checkpoints.path(step)}"]
    if tracker.best is not None:
        best = f"{tracker.best_by} {tracker.best:.4g} at step {tracker.best_step}"
        lines.append(f"best {best}: {trainer.checkpoints.best}")
    return "\n".join(lines)
