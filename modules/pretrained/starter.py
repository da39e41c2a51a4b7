"""The base model in the repository, from which small models start and instant voices are made."""

from __future__ import annotations

from modules.pretrained.weights import ROOT

STARTER = ROOT / "pretrain" / "starter" / "base.safetensors"  # its config.json lies beside it
STARTER_ENCODER = "ppg-starter"
