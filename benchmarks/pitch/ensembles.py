"""Whether several F0 predictors together are better than the best of them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Tracks = Mapping[str, np.ndarray]  # (N,) of each predictor, Hz, 0 where unvoiced
_NEAR = 50 / 1200  # octaves


def refined(tracks: Tracks) -> np.ndarray:
    """Pm's finer pitch where it agrees with swift-f0, which decides octaves and voicing."""
    fine, safe = tracks["pm"], tracks["swift-f0"]
    both = (fine > 0) & (safe > 0)
    near = both & (np.abs(np.log2(np.where(both, fine, 1) / np.where(both, safe, 1))) < _NEAR)
    return np.where(near, fine, safe)


def median(tracks: Tracks) -> np.ndarray:
    """The median of pm, swift-f0 and fcpe, voiced where two of them are."""
    stack = np.stack([tracks[name] for name in ("pm", "swift-f0", "fcpe")])
    logs = np.where(stack > 0, np.log2(np.maximum(stack, 1)), np.nan)
    voiced = (stack > 0).sum(0) >= 2
    middle = np.nanmedian(np.where(voiced, logs, 0.0), axis=0)
    return np.where(voiced, 2.0**middle, 0.0)


ENSEMBLES: dict[str, Callable[[Tracks], np.ndarray]] = {
    "pm + swift-f0": refined,
    "median of pm, swift-f0, fcpe": median,
}
