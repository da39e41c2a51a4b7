"""One way to turn a torch module into an ONNX file: traced for any length, in one file, without chatter."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from modules.common.errors import CheckpointError

Shape = Sequence[int | str]  # of an input or output; a name stands for any length
_LARGEST = 2**31 - 2**24  # bytes; what protobuf allows, less some for the graph itself
# tell of operators that no model here has, and of optimisations that were not possible
_TALKATIVE = ("torch.onnx._internal.exporter._registration", "onnxscript.optimizer._constant_folding")


def write_graph(
    module: nn.Module,
    path: Path,
    examples: Mapping[str, Tensor],
    dims: Mapping[str, Mapping[int, Any]],
    shapes: Mapping[str, Shape],
    facts: Mapping[str, str],
) -> None:
    """Trace ``module`` and write it as one ONNX file.

    Args:
        module: On the CPU.
        path: Where to.
        examples: What to trace it with, by the names of the graph's inputs, which are
            those of the module's arguments.
        dims: For each example, its axes of any length as ``torch.export.Dim``.
        shapes: That the file states, by the names of inputs and outputs: a
            number, or a name for any length. What is no example is an output.
        facts: What the file says of itself.

    Raises:
        CheckpointError: The weights are too large for one file.
        OSError: It cannot be written.
    """
    size = sum(tensor.nbytes for tensor in module.state_dict().values())
    if size > _LARGEST:
        raise CheckpointError(
            f"the model has {size / 1e9:.1f} GB of weights, and an ONNX file holds {_LARGEST / 1e9:.1f} GB"
        )
    with torch.no_grad(), _quiet():
        # apart: the second step would warn of every input that shares its length with another
        traced = torch.export.export(
            module.eval(),
            (),
            kwargs=dict(examples),
            dynamic_shapes={name: dict(dims[name]) for name in examples},
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        program = torch.onnx.export(
            traced,
            input_names=list(examples),
            output_names=[name for name in shapes if name not in examples],
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in (*model.graph.input, *model.graph.output):
        for axis, length in zip(node.type.tensor_type.shape.dim, shapes[node.name], strict=True):
            axis.Clear()
            if isinstance(length, str):
                axis.dim_param = length
            else:
                axis.dim_value = length
    onnx.helper.set_model_props(model, dict(facts))
    path.write_bytes(model.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the loggers that tell users nothing from doing so."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
