"""Devices by name, and what they are good at."""

from __future__ import annotations

import logging

import torch
from torch import nn

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


def half_format(device: torch.device) -> str:
    """Name of torch's half-precision type that ``device`` has instructions for; "float32": it has none.

    That is bfloat16, which has the range of float32: nothing overflows, as it may in float16.
    """
    if device.type == "cpu":
        return "bfloat16" if cpu_has_bf16() else "float32"
    if device.type != "cuda":  # of MPS nothing is known
        return "float32"
    generation = torch.cuda.get_device_capability(device)[0]  # 8: Ampere
    return "bfloat16" if generation >= 8 else "float32"


def autocast(device: torch.device | str, dtype: torch.dtype) -> torch.autocast:
    """Context in which matrix products are computed in ``dtype``."""
    return torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32)


def convert_weights(network: nn.Module, dtype: torch.dtype) -> None:
    """Convert the weights of matrix products to ``dtype``; otherwise autocast does it in every call."""
    if dtype != torch.float32:
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                module.to(dtype)
