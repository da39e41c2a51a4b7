"""The base model in the repository, from which small models start and instant voices are made."""

from __future__ import annotations

import json
from typing import Any

from modules.pretrained.weights import ROOT

STARTER = ROOT / "pretrain" / "starter" / "base.safetensors"  # its config.json lies beside it
STARTER_ENCODER = "ppg-starter2"


def starter_sizes(encoder: str) -> dict[str, Any]:
    """Section "model" of the base model's configuration if it is for ``encoder``, else nothing."""
    path = STARTER.with_name("config.json")
    if encoder != STARTER_ENCODER or not path.is_file():
        return {}
    model: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model"]
    return model
