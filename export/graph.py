"""Torch modules to ONNX files: traced for any length, one file each, without noise in the log."""

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
TRACED = 50  # frames or units of the examples; any number but 0 and 1, which are traced as constants
_LARGEST = 2**31 - 2**24  # bytes; the limit of protobuf, less some for the graph itself
# they report operators that no model here has, and skipped optimisations
_NOISY = ("torch.onnx._internal.exporter._registration", "onnxscript.optimizer._constant_folding")


def write_graph(
    module: nn.Module,
    path: Path,
    examples: Mapping[str, Tensor],
    dims: Mapping[str, Mapping[int, Any]],
    shapes: Mapping[str, Shape],
    facts: Mapping[str, str],
) -> None:
    """Trace ``module``, on the CPU, and write it as one ONNX file with ``facts`` as metadata.

    ``examples`` are inputs to trace it with, by the names of its arguments, and ``dims`` the axes of
    each that have any length, as ``torch.export.Dim``. Of ``shapes``, those of no example are outputs.

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
    """Silence loggers that tell users nothing."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
