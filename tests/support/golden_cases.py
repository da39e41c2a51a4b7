"""Golden numbers of the published implementation, and the weights that made them.

A case under tests/golden is manifest.json (what was run, tensor names and
shapes) and golden.npz (inputs and outputs). There are no weight files: every
tensor follows from its published name by :func:`fill`.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch

GOLDEN = Path(__file__).parents[1] / "golden"


def fill(name: str, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """The array that stands for the published tensor ``name``."""
    shape = tuple(shape)
    if not dtype.startswith("float"):
        return np.zeros(shape, dtype)
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    leaf = name.rpartition(".")[2]
    values: np.ndarray
    if leaf in ("weight_g", "running_var"):
        values = 1.0 + 0.1 * np.abs(noise)
    elif shape == (4, 4):
        values = np.eye(4, dtype=np.float32) + 0.1 * noise
    elif len(shape) <= 1:
        values = 0.1 * noise + (1.0 if leaf in ("weight", "gamma") else 0.0)
    elif len(shape) == 3 and shape[0] == shape[2] == 1:
        values = 0.1 * noise
    else:
        values = noise / np.sqrt(np.prod(shape[1:], dtype=np.float64))
    return np.asarray(values, dtype)


def signal(name: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """Float32 noise of standard deviation ``scale``, fixed by ``name``."""
    noise = np.random.default_rng(zlib.crc32(f"input:{name}".encode())).standard_normal(
        shape, dtype=np.float32
    )
    return (scale * noise).astype(np.float32)


def voice(seconds: float, sample_rate: int, f0: float = 220.0) -> np.ndarray:
    """The test voice of the goldens: gliding harmonics, noise bursts and silence."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    contour = f0 * 2.0 ** (0.5 + 0.5 * np.sin(np.pi * t))
    phase = 2 * np.pi * np.cumsum(contour) / sample_rate
    x = np.zeros(len(t))
    for k in range(1, 21):
        x += np.where(k * contour < 0.45 * sample_rate, np.sin(k * phase) / k, 0.0)
    x = np.where(t % 0.5 > 0.45, 0.3 * np.random.default_rng(7).standard_normal(len(t)), x)
    x[(t // 0.5).astype(int) % 4 == 3] = 0.0
    return (0.3 * x / max(1e-9, np.abs(x).max())).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """One golden case: its manifest, and its arrays by name."""

    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The published checkpoint's tensors, filled by name."""
        skip = self.manifest.get("not_filled", [])
        return {
            name: torch.from_numpy(fill(name, tuple(shape), dtype))
            for name, (shape, dtype) in self.manifest["state_dict"].items()
            if not any(fnmatch(name, pattern) for pattern in skip)
        }


def load_case(name: str) -> Case:
    """Read the case ``name``."""
    folder = GOLDEN / name
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    with np.load(folder / "golden.npz", allow_pickle=False) as archive:
        return Case(manifest, dict(archive))
