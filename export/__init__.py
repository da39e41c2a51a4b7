"""Models as ONNX graphs, for programs without PyTorch.

Names only, so that listing them loads nothing heavy; the work is in
export/encoder.py and export/graph.py.
"""

from __future__ import annotations

from modules.common.errors import ConfigError
from modules.pretrained.weights import WEIGHTS
from vencoder import ENCODERS

# by the module that an encoder is in, since what stands in the way is the same for all of them
_REASONS = {
    "vencoder.whisper": (
        "Whisper hears windows of 30 s, which are cut and joined outside of its network; "
        "a graph has to take a wave of any length"
    ),
    "vencoder.onnx": "it is an ONNX graph already",
    "vencoder.mfcc": "it has no network",
}


def exportable() -> list[str]:
    """Return the names of the speech encoders that can be written as ONNX."""
    return [name for name in ENCODERS if _reason(name) is None]


def file_name(name: str) -> str:
    """Return what the file of the encoder ``name`` is called: as its -onnx twin wants it, if there is one.

    Raises:
        ConfigError: There is no such encoder, or it cannot be exported; says why.
    """
    reason = _reason(name)
    if reason:
        raise ConfigError(
            f"the encoder {name!r} cannot be exported: {reason}. Choose from: {', '.join(exportable())}"
        )
    twin = WEIGHTS.get(f"{name}-onnx")
    return twin.file if twin else f"{name}.onnx"


def _reason(name: str) -> str | None:
    return _REASONS.get(ENCODERS[name].target.partition(":")[0])
