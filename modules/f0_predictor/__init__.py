"""F0 predictors: one line and one file each.

``F0_PREDICTORS.build(name, sampling_rate=..., hop_length=...)`` imports the
file and returns a :class:`modules.f0_predictor.base.F0Predictor`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from modules.common.registry import PartSpec, Registry

logger = logging.getLogger(__name__)

_BEST, _FALLBACK = "swift-f0", "pm"
LIVE_PREDICTOR = "pm"  # it hears a voice up to the end of a window (docs/live.md)


@dataclass(frozen=True)
class F0Spec(PartSpec):
    """One F0 predictor."""

    weights: str | None = None  # key of its file in modules/pretrained/weights.py; None: it needs none
    without_torch: bool = False  # it works without PyTorch
    has_threshold: bool = False  # of voicing; the others decide in their own ways


F0_PREDICTORS: Registry[F0Spec] = Registry(
    "F0 predictor",
    {
        "pm": F0Spec("modules.f0_predictor.pm:PraatPredictor", without_torch=True),
        "dio": F0Spec(
            "modules.f0_predictor.world:WorldPredictor", without_torch=True, kwargs={"algorithm": "dio"}
        ),
        "harvest": F0Spec(
            "modules.f0_predictor.world:WorldPredictor", without_torch=True, kwargs={"algorithm": "harvest"}
        ),
        "crepe": F0Spec("modules.f0_predictor.crepe:CrepePredictor", has_threshold=True),
        "rmvpe": F0Spec("modules.f0_predictor.rmvpe:RmvpePredictor", weights="rmvpe", has_threshold=True),
        "swift-f0": F0Spec("modules.f0_predictor.swift:SwiftPredictor", without_torch=True),
        "fcpe": F0Spec("modules.f0_predictor.fcpe:FcpePredictor", has_threshold=True),
    },
)


def choose_default() -> str:
    """Name of the most accurate predictor of the fast ones (docs/pitch.md) that is installed."""
    return _BEST if find_spec("swift_f0") else _FALLBACK


DEFAULT_PREDICTOR = choose_default()


@cache
def warn_of_fallback(name: str) -> None:
    """Log, once, if ``name`` is used because the default's package is missing."""
    if name == DEFAULT_PREDICTOR == _FALLBACK:
        logger.warning(
            "%s, the default F0 predictor, is not installed, so %s takes its place: "
            "pip install -r requirements-onnx.txt",
            _BEST,
            _FALLBACK,
        )
