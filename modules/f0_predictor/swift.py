"""SwiftF0 (Nieradzik 2025), a network of 14 thousand weights on a spectrogram: fast, and without a download.

The package swift-f0 holds its graph, which is run here: the package's own code resamples and
cuts at its own rates, and needs neither of this project's rules for level, windows and frames.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from modules.common.errors import MissingWeightsError
from modules.f0_predictor.fixed_rate import FixedRatePredictor
from modules.onnx.session import open_session, run

HOP = 256  # samples per frame of the network
LOWEST, HIGHEST = 46.875, 2093.75  # Hz, of its bins
_STEP = (HIGHEST / LOWEST) ** (1 / 94)  # between two bins; a narrower range holds none
_VOICED = 0.5  # confidence
_SILENT = 1e-3  # peak of a frame that the network never saw, and takes for anything


class SwiftPredictor(FixedRatePredictor):
    """SwiftF0 at its own threshold of voicing; ``threshold`` is not used.

    Raises:
        MissingWeightsError: The package is not installed.
    """

    hop = HOP

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = find_spec("swift_f0")
        if found is None or not found.submodule_search_locations:
            raise MissingWeightsError(
                "swift-f0 is not installed; get it with: pip install -r requirements-onnx.txt"
            )
        path = Path(found.submodule_search_locations[0]) / "model.onnx"
        self._session = open_session(path, what="the F0 predictor swift-f0", installed=True)

    def pitch(self, sound: np.ndarray) -> np.ndarray:
        """Pitch in Hz every 16 ms, 0 where unvoiced, of ``sound`` (T,) at 16 kHz, T > 0."""
        low = min(max(self.f0_min, LOWEST), HIGHEST / _STEP)
        high = max(min(self.f0_max, HIGHEST), low * _STEP * 1.001)
        feed = {"audio": sound[None], "fmin": np.float32(low), "fmax": np.float32(high)}
        feed = {name: np.asarray(value, np.float32) for name, value in feed.items()}
        outputs = run(self._session, feed, "swift-f0 cannot be run")
        pitch, confidence = (output[0].astype(np.float64) for output in outputs)
        n_hops = min(len(pitch), len(sound) // HOP)
        loud = np.ones(len(pitch), bool)
        loud[:n_hops] = np.abs(sound[: n_hops * HOP].reshape(-1, HOP)).max(1, initial=0.0) >= _SILENT
        return np.where((confidence >= _VOICED) & loud, pitch.clip(self.f0_min, self.f0_max), 0.0)
