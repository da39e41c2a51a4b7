"""Encoders with convolutions over the waveform, then attention: HuBERT, WavLM and DPHuBERT.

They differ in their layers only. The convolutions run over each clip by itself
(their normalization is over time); attention runs over clips of similar length
together, padded and masked, and over windows where a clip is long.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from vencoder.batching import UnitWindow, batches, windows
from vencoder.network import NetworkEncoder

LONGEST = 2000  # units, 40 s, in one window of attention; the slices of a song are shorter
_MARGIN = 100  # units, 2 s, on either side of a window; the positional convolution spans 1.3 s each way
_BATCH = 3000  # units computed together, padding included


class WindowedEncoder(NetworkEncoder):
    """An encoder with 400 samples per unit, 320 apart, and attention over at most 40 s.

    Longer recordings are computed in windows that overlap by 4 s, so memory does
    not grow with the square of the length. Units then differ from those of
    attention over the whole: by 1 to 3 % (RMS) on a voice, 7 % on noise that swells.

    The network has two methods: ``features(audio (B, T)) -> (B, U, C)``, the
    convolutions, and ``units(features, mask (B, U) | None) -> (B, U, D)``, where
    the mask is False for padding.
    """

    padding = 0  # zeros, in samples, added before and after every recording
    normalize = False  # whether a recording is scaled to mean 0 and variance 1 first

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        if self.normalize:
            waves = [F.layer_norm(wave, wave.shape) for wave in waves]
        waves = [F.pad(wave, (self.padding, self.padding)) for wave in waves]
        cut = [windows((len(wave) - 400) // self.hop_length + 1, LONGEST, _MARGIN) for wave in waves]
        parts = [(wave, window) for wave, cuts in zip(waves, cut, strict=True) for window in cuts]
        units: list[Tensor] = [torch.empty(0)] * len(parts)
        for group in batches([window.stop - window.start for _, window in parts], _BATCH):
            for index, part in zip(group, self._group([parts[index] for index in group]), strict=True):
                units[index] = part
        whole = iter(units)
        return [torch.cat([next(whole) for _ in cuts]).T.contiguous() for cuts in cut]

    def _group(self, parts: Sequence[tuple[Tensor, UnitWindow]]) -> list[Tensor]:
        """Kept units (U, D) of windows that are computed together."""
        with self._autocast():
            features = [self.network.features(self._samples(wave, window)[None])[0] for wave, window in parts]
            lengths = torch.tensor([len(feature) for feature in features], device=self.device)
            mask = torch.arange(int(lengths.max()), device=self.device) < lengths[:, None]
            units = self.network.units(pad_sequence(features, batch_first=True), None if mask.all() else mask)
        return [
            row[window.first - window.start : window.last - window.start].float()
            for row, (_, window) in zip(units, parts, strict=True)
        ]

    def _samples(self, wave: Tensor, window: UnitWindow) -> Tensor:
        """Samples that the units of ``window`` depend on.

        The last window includes the remainder, which is too short for another
        unit: as published, the convolutions' normalization includes it.
        """
        is_last = window.stop == (len(wave) - 400) // self.hop_length + 1
        stop = len(wave) if is_last else (window.stop - 1) * self.hop_length + 400
        return wave[window.start * self.hop_length : stop]
