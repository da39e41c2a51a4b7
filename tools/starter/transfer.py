"""A base model goes on with another speech encoder: its input layers learn the new units at once.

Only these, convolutions, see the units. Units of one encoder follow well from another's of
the same sound by a linear map, which least squares find; composed with a layer, it gives one
for the new units, and what the model learnt of voices is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

LAYERS = ("pre.weight", "prenet.pre.weight")  # (C, D, K)
_RIDGE = 1e-3  # of the new units' variance


def transferred(state: Mapping[str, Tensor], old: Tensor, new: Tensor) -> dict[str, Tensor]:
    """Weights for units ``new`` (U, D') of a model for ``old`` (U, D), of the same sound."""
    map_ = linear_map(new, old)
    layers = {name: state[name].float() for name in LAYERS if name in state}
    return {**state, **{name: torch.einsum("cdk,ed->cek", layer, map_) for name, layer in layers.items()}}


def linear_map(source: Tensor, target: Tensor) -> Tensor:
    """The matrix (D', D) that takes ``source`` (U, D') nearest to ``target`` (U, D)."""
    source, target = source.double(), target.double()
    square = source.T @ source
    square += _RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    return torch.linalg.solve(square, source.T @ target).float()


def both_units(clips: Sequence[Path], encoder: str) -> tuple[Tensor, Tensor]:
    """Units (U, D) of ``clips`` by ``encoder``, and those (U, D') that lie beside them."""
    from modules.common.progress import progress_bar
    from modules.dataset.features import load_units
    from modules.dsp.audio import read_audio, resample
    from modules.dsp.unit_clock import UnitClock
    from vencoder import ENCODERS

    speech_encoder = ENCODERS.build(encoder, torch.device("cpu"))
    old, new = [], []
    for clip in progress_bar(clips, desc=f"units of {encoder}", unit="clip"):
        audio, rate = read_audio(clip)
        there = load_units(clip).float()
        here = speech_encoder.encode(torch.from_numpy(resample(audio, rate, UnitClock.sampling_rate)))
        n_units = min(there.size(1), here.size(1))
        old.append(here[:, :n_units].T)
        new.append(there[:, :n_units].T)
    return torch.cat(old), torch.cat(new)
