"""F0 predictors: one line and one file each.

``F0_PREDICTORS.build(name, sampling_rate=..., hop_length=...)`` imports the
file and returns a :class:`modules.f0_predictor.base.F0Predictor`.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.common.registry import PartSpec, Registry


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
