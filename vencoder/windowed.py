"""What the encoders share that read the waveform with convolutions and then attend to it.

HuBERT, WavLM and DPHuBERT differ in their layers, not in how a recording comes
to them: convolutions over each clip by itself (their normalisation runs over
time), then attention over clips of like length together, padded and masked, and
over windows where a clip is long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from modules.checkpoint import load_weights
from modules.checkpoint.identify import identify
from modules.common.errors import CheckpointError
from vencoder.base import SpeechEncoder
from vencoder.batching import Window, batches, windows

LONGEST = 2000  # units, 40 s, that attention sees at once; the slices of a song are shorter
_MARGIN = 100  # units, 2 s, that windows overlap: the positional convolution sees 1.3 s
_BATCH = 3000  # units computed together, padding included


class _Network(Protocol):
    """What a network offers to its encoder."""

    def features(self, audio: Tensor) -> Tensor:
        """Return what the convolutions make of ``audio`` (B, T), (B, U, C)."""

    def units(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return units (B, U, D); ``mask`` (B, U) is False where there is only padding."""


class WindowedEncoder(SpeechEncoder):
    """An encoder of 400 samples per unit, 320 apart, with attention over at most 40 s.

    Longer recordings are computed in windows that overlap by 4 s, so memory does
    not grow with the square of the length. Units then differ a little from those
    of attention over the whole: by 1 to 3 % of their size on a voice.

    Attributes:
        network: In eval mode, on the device.
        padding: Zeros, in samples, put before and behind every recording.
        normalize: Whether a recording is brought to mean 0 and variance 1 first.
        dtype: Of the matrix products.
    """

    network: _Network
    padding = 0
    normalize = False
    dtype = torch.float32

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

    def _group(self, parts: Sequence[tuple[Tensor, Window]]) -> list[Tensor]:
        """Return the kept units (U, D) of windows that are computed together."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = [self.network.features(self._samples(wave, window)[None])[0] for wave, window in parts]
            lengths = torch.tensor([len(feature) for feature in features], device=self.device)
            mask = torch.arange(int(lengths.max()), device=self.device) < lengths[:, None]
            units = self.network.units(pad_sequence(features, batch_first=True), None if mask.all() else mask)
        return [
            row[window.first - window.start : window.last - window.start].float()
            for row, (_, window) in zip(units, parts, strict=True)
        ]

    def _samples(self, wave: Tensor, window: Window) -> Tensor:
        """Return the samples that the units of ``window`` see.

        The last window has the rest too, which is too short for a unit of its
        own: the convolutions' normalisation has always counted it in.
        """
        is_last = window.stop == (len(wave) - 400) // self.hop_length + 1
        stop = len(wave) if is_last else (window.stop - 1) * self.hop_length + 400
        return wave[window.start * self.hop_length : stop]


def adopt_weights(network: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Make the tensors of a file the weights of ``network``, which is on the meta device, ready for use.

    The tensors themselves, not copies, so a large model is in memory once.

    Args:
        network: Built under ``torch.device("meta")``.
        state: Tensors under the network's own names (of weight norm: either spelling).
        path: The file, for messages.

    Raises:
        CheckpointError: Tensors are missing, unknown, or of the wrong shape.
    """
    load_weights(network, {name: tensor.to("meta") for name, tensor in state.items()}, path)
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        state = {
            name
            if not name.endswith(f".{old}")
            else f"{name.removesuffix(old)}parametrizations.weight.{new}": tensor
            for name, tensor in state.items()
        }
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    network.eval().requires_grad_(False)


def lower_precision(network: nn.Module, dtype: torch.dtype) -> None:
    """Keep the weights of the matrix products in ``dtype``, or autocast converts them in every call."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d):
            module.to(dtype)


def refuse_others(state: Mapping[str, Tensor], kind: str, path: str | Path) -> None:
    """Refuse tensors that are known to be of another kind of model than ``kind``; raises CheckpointError."""
    found = identify(state)
    if found and kind not in found:
        raise CheckpointError(f"{path} is no {kind} checkpoint; it seems to be {found}")


def shape_of(
    state: Mapping[str, Tensor], name: str, n_axes: int, path: str | Path, kind: str
) -> tuple[int, ...]:
    """Return the shape of the tensor ``name``.

    Args:
        state: Tensors by name.
        name: In ``state``.
        n_axes: That it must have; none may be empty.
        path: The file, for messages.
        kind: What the file should be, for messages.

    Raises:
        CheckpointError: It is missing or has other axes.
    """
    tensor = state.get(name)
    if tensor is None or tensor.ndim != n_axes or not tensor.numel():
        found = "is missing" if tensor is None else f"is {tuple(tensor.shape)}"
        raise CheckpointError(f"{path} is no {kind} checkpoint: {name} {found}")
    return tuple(tensor.shape)
