"""Devices by name, and what they are good at."""

from __future__ import annotations

import logging

import torch

from modules.common.errors import ConfigError

logger = logging.getLogger(__name__)


def resolve_device(name: str | None = None) -> torch.device:
    """Device called ``name``; without one CUDA, MPS or the CPU, the first that is available.

    Raises:
        ConfigError: ``name`` is not a device, or this machine does not have it.
    """
    if not name:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}; use cpu, cuda, cuda:<number> or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"device {name!r} is not supported; use cpu, cuda, cuda:<number> or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} is not available: {torch.cuda.device_count()} CUDA devices found")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' is not available")
    return device


def find_gpu() -> torch.device | None:
    """GPU of this machine; None, after a warning, if there is none."""
    device = resolve_device()
    if device.type == "cpu":
        logger.warning("--gpu: this machine has no GPU that torch can use; computing on the CPU")
        return None
    return device


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return capabilities.startswith("AVX512") and bool(supported and supported())
