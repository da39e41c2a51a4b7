"""Units of our own encoders for the end of a recording that goes on.

Spectra that are known are kept, and the network runs on what is new and as much before it
as has influence; layers with attention keep what they were given before, and compute only
what is new. The averages are those of the whole window. A live conversion gets its units
in a third of the time that encoding its window again would take, with attention a fifth.

The sound after the end is a guess. Where a note is held, its spectra are taken to go on for as
long as it has lasted, so that its units are those that it keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from modules.common.device import autocast
from vencoder.ppg import DESIGNS, HOP, N_MELS, WINDOW, relative_mel, subtract_average
from vencoder.ppg.attention import AttentionNetwork

if TYPE_CHECKING:
    from vencoder.ppg import PpgEncoder

_STEM = 2  # units before a unit that its convolutions reach
_SETTLED = 12  # units; those older than this hardly change with what comes after them
_ALIKE = 0.6  # mean difference of two log-mels, ln, up to which a sound has not changed
_HELD, _STEP, _LONGEST = 10, 22, 88  # frames of 10 ms: from which on it is held, and how long it goes on


class PpgStream:
    """The last ``n_units`` units of a recording, silent before it began, of which the last are a guess."""

    def __init__(self, encoder: PpgEncoder, n_units: int) -> None:
        self._encoder, self._n_units = encoder, n_units
        self._power = torch.zeros(1, 2 * n_units, N_MELS, device=encoder.device)
        self._units = torch.zeros(1, n_units, encoder.ssl_dim, device=encoder.device)
        network = encoder.network
        self._inputs = network.inputs(n_units) if isinstance(network, AttentionNetwork) else []

    @torch.inference_mode()
    def push(self, audio: np.ndarray, heard: int, moved: int, changed: int) -> np.ndarray:
        """Units (D, n_units) of ``audio`` (n_units * 320,) at 16 kHz: ``heard`` samples, then a guess.

        It has moved on by ``moved`` units since the last call, and its last ``changed`` units, which
        include those, are not as they were then.
        """
        n_units, encoder = self._n_units, self._encoder
        moved, changed = min(moved, n_units), min(changed, n_units)
        self._power = self._power.roll(-2 * moved, 1)
        self._units = self._units.roll(-moved, 1)
        self._inputs = [inputs.roll(-moved, 1) for inputs in self._inputs]
        first = max(0, 2 * (n_units - changed) - 2)  # their windows reach into what has changed
        before = (WINDOW - HOP) // 2
        wave = np.pad(audio, before)[first * HOP :]
        self._power[:, first:] = encoder.spectrum(torch.from_numpy(wave).to(self._power)[None])
        known = min((heard - before) // HOP, 2 * n_units)  # frames whose windows were heard
        mel, weight = relative_mel(self._power, self._power[:, :known])
        weight[:, known:] = 0
        n_new = min(changed + _SETTLED, n_units)
        with autocast(encoder.device, encoder.dtype):
            self._units[:, -n_new:] = self._fresh(mel, known, n_new)
        units = subtract_average(self._units, weight)[0].T
        return np.ascontiguousarray(units.cpu().numpy())

    def _fresh(self, mel: torch.Tensor, known: int, n_new: int) -> torch.Tensor:
        """The last ``n_new`` units (1, U, D) of the log-mel, whose first ``known`` frames are no guess."""
        network, first = self._encoder.network, self._n_units - n_new
        reach = _STEM if self._inputs else DESIGNS[self._encoder.name].reach[0]
        start = max(0, first - reach)
        mel = _held_on(mel[:, 2 * start :], known - 2 * start)
        if isinstance(network, AttentionNetwork):
            return network.resume(network.stem(mel)[:, first - start :], self._inputs, first).float()
        return network(mel)[:, first - start :][:, :n_new].float()


def _held_on(mel: torch.Tensor, known: int) -> torch.Tensor:
    """A log-mel (1, N, 80) whose frames after the ``known`` ones are those before, if a note is held."""
    smooth = F.avg_pool1d(mel[0, max(0, known - _LONGEST - 2) : known].T, 3, 1).T
    changed = (smooth - smooth[-1]).abs().mean(1) > _ALIKE
    lasted = int(changed.flip(0).int().argmax()) if changed.any() else len(smooth)
    if lasted < _HELD:
        return mel
    more = max(lasted - lasted % _STEP, mel.shape[1] - known)  # few lengths: each new one costs some ms
    return torch.cat([mel[:, :known], mel[:, :known].flip(1)[:, :more]], 1)
