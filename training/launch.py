"""One process for each GPU of this machine, started by torchrun as a user would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import torch

from modules.errors import ConfigError, TrainingError


def wanted_processes(device: torch.device) -> int:
    """Return how many processes a run on ``device`` should have; 1 within torchrun, which decided."""
    if "WORLD_SIZE" in os.environ or device.type != "cuda" or device.index is not None:
        return 1
    return torch.cuda.device_count()


def launch(script: str, arguments: Sequence[str], count: int, port: str) -> int:
    """Run ``script`` in ``count`` processes that find each other at ``port``; return the exit code.

    Raises:
        ConfigError: The port is taken, or is none.
        TrainingError: A process failed; it has said why, and the others were ended.
    """
    check_port(port)
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--nproc_per_node", str(count), "--master_addr", "127.0.0.1", "--master_port", port),
        script,
        *arguments,
    ]
    code = subprocess.run(command, env={"OMP_NUM_THREADS": "1", **os.environ}, check=False).returncode
    if code:
        raise TrainingError("a process of the run failed, and the others were ended; its message is above")
    return 0


def check_port(port: str) -> None:
    """Make sure that nothing else listens at ``port`` of this machine.

    Raises:
        ConfigError: Something does, or it is no port.
    """
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"train.port must be a number from 1 to 65535, not {port!r}")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError:
            raise ConfigError(
                f"port {port} is in use, perhaps by another training; choose another train.port in the "
                "configuration"
            ) from None
