"""ONNX graphs, opened and run in one way, with or without PyTorch in the process.

A graph is not a program: it reaches nothing but its inputs, as long as it names no
other files and no operators of its own. Files that do are refused unread.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime

from modules.common.errors import CheckpointError

_CPU = "CPUExecutionProvider"
_SHARE = 0.5  # of the machine's memory, that all graphs together may take for what they compute
_UNKNOWN = 8 << 30  # bytes of memory of a machine that does not tell
_FULL = re.compile(r"Available memory of \d+ is smaller")


def open_session(
    path: Path, device: object = "cpu", what: str = "graph", *, installed: bool = False
) -> onnxruntime.InferenceSession:
    """Open a session for ``path``, checked first, on ``device``, which is text or a device of PyTorch.

    A graph that is part of an ``installed`` package is not checked: its code could do more. A
    fallback of ``what`` ("the encoder 'hubertsoft-onnx'") to the CPU is logged.

    Raises:
        CheckpointError: See :func:`modules.onnx.validate.check_file`; or onnxruntime refuses it.
    """
    if not installed:
        from modules.onnx.validate import check_file  # imports onnx, as long as onnxruntime takes

        check_file(path)
    _bound_memory()
    kind, _, index = str(device).partition(":")
    choices: list[list[Any]] = [[_CPU]]
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        choices.insert(0, [("CUDAExecutionProvider", {"device_id": int(index or 0)}), _CPU])
    reason = f"this onnxruntime does not support {kind}"
    for providers in choices:
        try:
            # its own fallback prints
            session = onnxruntime.InferenceSession(
                str(path), _options(), providers=providers, enable_fallback=0
            )
            break
        except Exception as error:  # onnxruntime's errors have no base class
            reason = _first_line(error)
    else:
        if re.search(r"\bIR version|\bopset\b", reason):
            reason = "it is written in a newer ONNX; update onnxruntime, or get an older file"
        raise CheckpointError(f"{path} cannot be read by onnxruntime {onnxruntime.__version__}: {reason}")
    # onnxruntime also falls back silently when one of CUDA's libraries is missing
    if kind != "cpu" and session.get_providers()[0] == _CPU:
        if len(providers) > 1:
            reason = "onnxruntime cannot load CUDA's libraries"
        logging.getLogger(__name__).warning("%s runs on the CPU: %s", what, reason)
    return session


def run(session: onnxruntime.InferenceSession, feed: Mapping[str, Any], where: str) -> list[Any]:
    """Run a graph on inputs by name; returns its outputs, or raises CheckpointError: "<where>: <why>"."""
    try:
        outputs: list[Any] = session.run(None, dict(feed))
    except Exception as error:  # onnxruntime's errors have no base class
        reason = _first_line(error)
        if _FULL.search(reason):
            reason = f"it needs more than {_limit() >> 20} MB of memory, the most that graphs get here"
        raise CheckpointError(f"{where}: {reason}") from None
    return outputs


@cache
def _bound_memory() -> None:
    """Let all graphs of this process share memory with a limit: what one asks for, its file does not tell.

    Weights are not in it, so they are freed with their session.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    default = -1
    settings = onnxruntime.OrtArenaCfg(_limit(), default, default, default)
    onnxruntime.create_and_register_allocator(memory, settings)


def _limit() -> int:
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        there = _UNKNOWN
    return int(_SHARE * there)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised too, which is enough
    options.intra_op_num_threads = _threads()
    # between two runs the cores are free for other work
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # one memory plan for each length of input would only grow
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.use_env_allocators", "1")  # see _bound_memory
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    # of what is computed in advance while a graph is opened; bytes
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(1 << 24))
    return options


def _threads() -> int:
    """As many as PyTorch uses, if it is loaded; or what the environment says; 0: one for each core."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() else 0


def _first_line(error: Exception) -> str:
    """Message of onnxruntime, without its code and the file's name."""
    text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return re.sub(r"^Load model from .* failed:\s*", "", text)
