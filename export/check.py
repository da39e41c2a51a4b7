"""ONNX graphs, each compared with PyTorch before its file takes its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from export.graph import TRACED, Shape, write_graph
from modules.common.errors import CheckpointError
from modules.common.files import replacing
from modules.dsp.f0 import f0_to_coarse
from modules.onnx.session import open_session, run

FRAMES, SAMPLES = "n_frames", "n_samples"  # names of the free lengths
TOLERANCE = 1e-3  # of the largest value, or of 1; float32 in another order differs by 1e-5
QUICK = (1, 2, 37)  # frames; every export is compared at these
LENGTHS = (1, 2, 3, 86, 501, 1292)  # and with --check at these: up to 15 s

Reference = Callable[[Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Graph:
    """One graph to be written."""

    file: str
    module: nn.Module  # to be traced; its arguments are named as the inputs
    inputs: Mapping[str, Shape]  # by name, in the order of the arguments
    output: tuple[str, Shape]
    reference: Reference  # the output as the PyTorch chain computes it
    hop_length: int  # samples per frame


@dataclass(frozen=True)
class Comparison:
    """Outputs of onnxruntime and PyTorch for one input."""

    n_frames: int  # of the input
    difference: float  # the largest, of any value
    largest: float  # value of PyTorch
    torch_seconds: float
    onnx_seconds: float


def write(graph: Graph, folder: Path, facts: Mapping[str, str]) -> Path:
    """Write ``graph`` into ``folder``, with metadata; the file takes its place if it agrees with PyTorch.

    Raises CheckpointError if it does not, or is too large for one file; OSError if it cannot be written.
    """
    path = folder / graph.file
    frames = Dim(FRAMES, min=3)  # the graph itself takes one and two frames too
    lengths = {FRAMES: frames, SAMPLES: graph.hop_length * frames}
    dims = {
        name: {axis: lengths[length] for axis, length in enumerate(shape) if isinstance(length, str)}
        for name, shape in graph.inputs.items()
    }
    shapes = dict([*graph.inputs.items(), graph.output])
    with replacing(path) as temporary:
        examples = example(graph, TRACED)
        write_graph(graph.module, temporary, examples=examples, dims=dims, shapes=shapes, facts=facts)
        compare(graph, temporary, QUICK)
    return path


@torch.inference_mode()
def compare(graph: Graph, path: Path, lengths: Sequence[int] = LENGTHS) -> list[Comparison]:
    """Run the file ``path`` and PyTorch on inputs of ``lengths`` frames; raises CheckpointError."""
    session = open_session(path)
    results = []
    for n_frames in lengths:
        feed = example(graph, n_frames)
        arrays = {name: tensor.numpy() for name, tensor in feed.items()}
        wanted, torch_seconds = _timed(lambda: graph.reference(feed).numpy())  # noqa: B023
        where = f"{path} cannot be run on {n_frames} frames"
        found, onnx_seconds = _timed(lambda: run(session, arrays, where)[0])  # noqa: B023
        difference, largest = measure(found, wanted, 1.0, f"{graph.file} at {n_frames} frames")
        results.append(Comparison(n_frames, difference, largest, torch_seconds, onnx_seconds))
    return results


def measure(found: np.ndarray, wanted: np.ndarray, floor: float, where: str) -> tuple[float, float]:
    """Largest difference of onnxruntime's output from PyTorch's, and largest value of the latter.

    Raises:
        CheckpointError: The shapes differ, or the values by more than the tolerance, which is
            relative to the largest value, or to ``floor`` if that is smaller.
    """
    if found.shape != wanted.shape:
        raise CheckpointError(f"{where} gives {list(found.shape)}, PyTorch {list(wanted.shape)}")
    difference, largest = float(np.abs(found - wanted).max()), float(np.abs(wanted).max())
    if not difference <= TOLERANCE * max(floor, largest):
        raise CheckpointError(
            f"{where} is {difference:.1e} off PyTorch, more than {TOLERANCE:.0e} of the largest value, "
            f"{largest:.1e}"
        )
    return difference, largest


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Result of ``work``, and the seconds of a second run: the first one warms up."""
    result = work()
    began = time.perf_counter()
    work()
    return result, time.perf_counter() - began


def example(graph: Graph, n_frames: int) -> dict[str, Tensor]:
    """Realistic inputs of ``n_frames`` frames, the same ones every time."""
    generator = torch.Generator().manual_seed(n_frames)
    lengths = {FRAMES: n_frames, SAMPLES: n_frames * graph.hop_length}
    return {
        name: _track(name, [lengths.get(str(length), length) for length in shape], generator)
        for name, shape in graph.inputs.items()
    }


def _track(name: str, shape: Sequence[Any], generator: torch.Generator) -> Tensor:
    normal = torch.randn(*shape, generator=generator)
    share = torch.rand(*shape, generator=generator)
    if name == "f0":
        f0 = 80.0 * 10.0**share  # Hz
        # at the edge of a bin the last digit decides, and programs differ
        sure = f0_to_coarse(f0 * (1 - 1e-5)) == f0_to_coarse(f0 * (1 + 1e-5))
        return f0.where(sure & (normal > -1), 220.0)
    tracks = {
        "uv": (normal > -0.5).float(),
        "speaker": normal.softmax(-1),
        "volume": 0.3 * share,
        "phase": share * torch.arange(shape[-1]).clamp(max=1),
        "t": 900 * share,
        "noise": 0.4 * normal,
        "mel": 2 * normal - 5,
    }
    return tracks.get(name, normal)
