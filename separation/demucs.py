"""Hybrid Transformer Demucs, better than Spleeter and slower; its weights are a download.

The network is the package's own. The package would build whatever class its weights name, so they are
read here: tensors, and the arguments of that one network.

Rouard et al., Hybrid transformers for music source separation (2023).
"""

from __future__ import annotations

import json
from fractions import Fraction
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from modules.checkpoint import build_module, find_state_dict, read_weights
from modules.common.errors import CheckpointError
from modules.pretrained.weights import weights_path
from separation import SEPARATORS
from separation.base import RATE, Separator, package_folder

_KIND = "demucs.htdemucs.HTDemucs"
_OVERLAP = 0.25  # of the network's own windows


class DemucsSeparator(Separator):
    """Demucs, published or from the safetensors file ``weights``.

    Raises:
        MissingWeightsError: The package or the published file is missing.
        CheckpointError: The file is damaged, or of another network.
    """

    def __init__(self, device: str | torch.device = "cpu", weights: str | Path | None = None) -> None:
        super().__init__(device)
        package_folder("demucs", SEPARATORS["demucs"].package or "")
        from demucs.htdemucs import HTDemucs

        path = Path(weights_path("htdemucs") if weights is None else weights)
        sources, arguments = _arguments(path)
        known = {name: value for name, value in arguments.items() if name in signature(HTDemucs).parameters}
        state = find_state_dict(read_weights(path), path)
        self.network = build_module(lambda: HTDemucs(*sources, **known), state, path, "Download it again.")
        self.network.eval().to(device)
        if "vocals" not in self.network.sources or self.network.samplerate != RATE:
            raise CheckpointError(f"{path} has no vocals at {RATE} Hz")

    @torch.inference_mode()
    def vocals(self, mix: np.ndarray) -> np.ndarray:
        """See :meth:`Separator.vocals`."""
        from demucs.apply import apply_model

        sound = torch.from_numpy(mix.T.copy())
        mean, scale = sound.mean(), sound.mean(0).std(correction=0) + 1e-8
        stems = apply_model(
            self.network, ((sound - mean) / scale)[None], shifts=0, overlap=_OVERLAP, device=self.device
        )
        vocals = stems[0, self.network.sources.index("vocals")] * scale + mean
        return vocals.T.cpu().numpy()


def _arguments(path: Path) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of the network, by place and by name, as the file tells them."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
        if metadata.get("klass") != _KIND:
            raise CheckpointError(f"{path} is of another network than {_KIND}")
        return list(_parsed(metadata["args"])), dict(_parsed(metadata["kwargs"]))
    except (SafetensorError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path} does not tell how its network is built: {error}") from None


def _parsed(text: str) -> Any:
    return json.loads(text, object_hook=_fraction)


def _fraction(value: dict[str, Any]) -> Any:
    if value.get("_type") == "fraction":
        return Fraction(value["numerator"], value["denominator"])
    return value
