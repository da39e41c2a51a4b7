"""Export of models to ONNX graphs, for programs without PyTorch.

This file holds names only, so that listing them loads nothing heavy.
"""

from __future__ import annotations

from modules.common.errors import ConfigError
from modules.pretrained.weights import WEIGHTS
from vencoder import ENCODERS

# by the module of an encoder
_REASONS = {
    "vencoder.whisper": (
        "Whisper takes windows of 30 s, which are cut and joined outside of its network; "
        "a graph has to take audio of any length"
    ),
    "vencoder.onnx": "it is an ONNX graph already",
    "vencoder.mfcc": "it has no network",
}


def exportable() -> list[str]:
    """Names of the speech encoders that can be exported."""
    return [name for name in ENCODERS if _reason(name) is None]


def file_name(name: str) -> str:
    """File name of the encoder ``name``, as of its -onnx twin; raises ConfigError if it has no graph."""
    reason = _reason(name)
    if reason:
        raise ConfigError(
            f"the encoder {name!r} cannot be exported: {reason}. Choose from: {', '.join(exportable())}"
        )
    twin = WEIGHTS.get(f"{name}-onnx")
    return twin.file if twin else f"{name}.onnx"


def _reason(name: str) -> str | None:
    return _REASONS.get(ENCODERS[name].target.partition(":")[0])
