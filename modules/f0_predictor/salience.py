"""Base of rmvpe and fcpe: networks that output the salience of pitch bins every 10 ms."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from modules.common.device import autocast
from modules.f0_predictor.fixed_rate import FixedRatePredictor

HOP = 160  # samples per frame, 10 ms
CHUNK = 3072  # frames at a time: half a minute of sound, 0.4 GB


class SaliencePredictor(FixedRatePredictor):
    """Decodes pitch from salience; voiced frames have a salience (0 to 1) above ``threshold``."""

    cents: np.ndarray  # (K,), of each pitch bin, above 10 Hz, ascending
    hop = HOP
    window_seconds = math.inf  # the network itself works in chunks

    @torch.inference_mode()
    def pitch(self, sound: np.ndarray) -> np.ndarray:
        """Pitch (T // 160 + 1,) in Hz every 10 ms, 0 where unvoiced, of ``sound`` (T,) at 16 kHz, T > 0."""
        with autocast(self.device, self.dtype or torch.float32):
            tracks = [
                decode(salience.float().cpu().numpy(), self.cents, self.f0_min, self.f0_max, self.threshold)
                for salience in self.salience(torch.from_numpy(sound).to(self.device))
            ]
        return np.concatenate(tracks)

    @abstractmethod
    def salience(self, sound: Tensor) -> Iterable[Tensor]:
        """Salience, 0 to 1, of ``sound`` (T,) in consecutive pieces (L, K): T // 160 + 1 frames in all."""


def decode(
    salience: np.ndarray, cents: np.ndarray, f0_min: float, f0_max: float, threshold: float
) -> np.ndarray:
    """Pitch (L,) in Hz, 0 where unvoiced: the weighted mean of the nine bins around the most salient one.

    ``salience`` (L, K) is 0 to 1, ``cents`` (K,) above 10 Hz. Bins outside ``f0_min`` to ``f0_max``,
    Hz, are ignored. A frame is voiced if its highest salience is above ``threshold``.
    """
    lowest, highest = 1200 * np.log2(np.array([f0_min, f0_max]) / 10)
    # a pitch at the limit is between two bins, and salient in both
    low = max(0, int(np.searchsorted(cents, lowest, "right")) - 1)
    high = min(len(cents), int(np.searchsorted(cents, highest, "left")) + 1)
    best = salience[:, low:high].argmax(1) + low
    bins = best[:, None] + np.arange(-4, 5)
    inside = (bins >= low) & (bins < high)
    bins = bins.clip(low, high - 1)
    weight = np.take_along_axis(salience, bins, 1).astype(np.float64) * inside
    mean = (weight * cents[bins]).sum(1) / np.maximum(weight.sum(1), 1e-12)
    voiced = np.take_along_axis(salience, best[:, None], 1)[:, 0] > threshold
    return np.where(voiced, (10 * 2 ** (mean / 1200)).clip(f0_min, f0_max), 0.0)
