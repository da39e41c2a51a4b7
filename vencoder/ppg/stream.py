"""Units of our own encoders for the end of a recording that goes on.

Spectra that are known are kept, and the network runs on what is new and as much before it
as has influence; the averages are those of the whole window. A live conversion gets its
units in a third of the time that encoding its window again would take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from modules.common.device import autocast
from vencoder.ppg import DESIGNS, HOP, N_MELS, WINDOW, relative_mel, subtract_average

if TYPE_CHECKING:
    from modules.common.device import autocast
from vencoder.ppg import PpgEncoder

_SETTLED = 12  # units; those older than this hardly change with what comes after them


class PpgStream:
    """The last ``n_units`` units of a recording, silent before it began."""

    def __init__(self, encoder: PpgEncoder, n_units: int) -> None:
        self._encoder, self._n_units = encoder, n_units
        self._power = torch.zeros(1, 2 * n_units, N_MELS, device=encoder.device)
        self._units = torch.zeros(1, n_units, encoder.ssl_dim, device=encoder.device)

    @torch.inference_mode()
    def push(self, audio: np.ndarray, moved: int, changed: int) -> np.ndarray:
        """Units (D, n_units) of ``audio`` (n_units * 320,), the end of the recording at 16 kHz.

        It has moved on by ``moved`` units since the last call, and its last ``changed`` units, which
        include those, are not as they were then.
        """
        n_units, encoder = self._n_units, self._encoder
        moved, changed = min(moved, n_units), min(changed, n_units)
        self._power = self._power.roll(-2 * moved, 1)
        self._units = self._units.roll(-moved, 1)
        first = max(0, 2 * (n_units - changed) - 2)  # their windows reach into what has changed
        before = (WINDOW - HOP) // 2
        wave = np.pad(audio, before)[first * HOP :]
        self._power[:, first:] = encoder.spectrum(torch.from_numpy(wave).to(self._power)[None])
        mel, weight = relative_mel(self._power)
        n_new = min(changed + _SETTLED, n_units)
        start = max(0, n_units - n_new - DESIGNS[encoder.name].reach[0])
        with autocast(encoder.device, encoder.dtype):
            fresh = encoder.network(mel[:, 2 * start :]).float()
        self._units[:, -n_new:] = fresh[:, -n_new:]
        units = subtract_average(self._units, weight)[0].T
        return np.ascontiguousarray(units.cpu().numpy())
