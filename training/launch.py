"""Launching a run, one process for each GPU of this machine, and the lines printed before and after it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

import torch
from torch import distributed

from modules.common.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from training.loop import Trainer

logger = logging.getLogger(__name__)

# Ctrl-C, a request to end, and a terminal that is closed
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def wanted_processes(device: torch.device) -> int:
    """Number of processes to start for a run on ``device``; 1 within torchrun."""
    if "WORLD_SIZE" in os.environ or device.type != "cuda" or device.index is not None:
        return 1
    count = torch.cuda.device_count()
    if count > 1 and not (distributed.is_available() and distributed.is_nccl_available()):
        logger.warning("this PyTorch has no NCCL, which several GPUs need; training on one of %d", count)
        return 1
    return count


def launch(script: str, arguments: Sequence[str], count: int, port: str) -> int:
    """Run ``script`` in ``count`` processes that find each other at ``port``; return the exit code.

    Signals that ask this process to end are passed on to torchrun, which ends its
    processes, and is waited for: they save first.

    Raises:
        ConfigError: The port is in use or invalid.
        TrainingError: A process failed and printed the reason; the others were ended.
        KeyboardInterrupt: The run was asked to end, and has.
    """
    check_port(port)
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--nproc_per_node", str(count), "--master_addr", "127.0.0.1", "--master_port", port),
        script,
        *arguments,
    ]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    # in a new session: from a terminal it would get Ctrl-C twice
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        process.send_signal(number)

    previous = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        code = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
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
