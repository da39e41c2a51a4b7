"""Vocoders: from log-mel and F0 to audio.

A vocoder is built as ``VOCODERS.build(name, data_config, device)``, with
``weights`` (a file; None takes the published one) and ``dtype`` as keywords,
and has two methods::

    synthesize(mel, f0, uv, start) -> audio
    cycles(f0, uv) -> cycles

with mel (M, N) from :class:`modules.dsp.mel.LogMel`, f0 (N,) in Hz without
gaps, uv (N,) 1 where voiced, and audio (N * hop_length,), all float32 tensors;
``start`` and ``cycles`` let the slices of a song sound as one, see vdecoder/clock.py.
A new one is one file here with a subclass of :class:`vdecoder.base.Vocoder`, and
one line in the table; the tests in tests/vdecoder/test_contract.py then apply to
it too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from modules.common.registry import PartSpec, Registry
from modules.pretrained.weights import WEIGHTS

if TYPE_CHECKING:
    import numpy as np
    import torch

Track = TypeVar("Track", "np.ndarray", "torch.Tensor")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VocoderSpec(PartSpec):
    """One vocoder."""

    weights: str | None = None  # key of its file in modules/pretrained/weights.py; None: it needs none
    voiced_throughout: bool = False  # trained on F0 that is interpolated through unvoiced frames


VOCODERS: Registry[VocoderSpec] = Registry(
    "vocoder",
    {
        "nsf-hifigan": VocoderSpec("vdecoder.nsf_hifigan:NsfHifigan", "nsf-hifigan", True),
        # trained on decadic logarithms: log10(e), to the digits of the published project
        "nsf-hifigan-log10": VocoderSpec(
            "vdecoder.nsf_hifigan:NsfHifigan", "nsf-hifigan", True, kwargs={"mel_scale": 0.434294}
        ),
        "nsf-snake-hifigan": VocoderSpec(
            "vdecoder.nsf_snake_hifigan:NsfSnakeHifigan", "nsf-snake-hifigan", True
        ),
        "world": VocoderSpec("vdecoder.world:WorldVocoder"),
    },
)


def source_voicing(vocoder: str, uv: Track, mute_unvoiced: bool = False) -> Track:
    """Voicing (N,), 1 = voiced, to be given to a vocoder, from that of the song, ``uv`` (N,).

    The published vocoders know no voicing: in training and in the published inference their sines go
    on through consonants, at an interpolated F0. ``mute_unvoiced`` silences them there all the same.
    """
    return uv if mute_unvoiced or not VOCODERS[vocoder].voiced_throughout else uv * 0 + 1


def published_file(vocoder: str) -> str:
    """Path of a vocoder's published file, as configurations name it; "" for one without a file."""
    key = VOCODERS[vocoder].weights
    return f"pretrain/{WEIGHTS[key].file}" if key else ""


def custom_checkpoint(vocoder: str, ckpt: str, of: str) -> Path | None:
    """The file of ``vocoder`` that ``vocoder.ckpt`` of a diffusion.yaml names, or None: the published one.

    ``of`` is its ``vocoder.type``. A warning is logged if the file does not exist, or if it is for another
    vocoder than the voice model's: the published one may sound different.
    """
    published = published_file(of)
    if not published or not ckpt:
        return None
    path = Path(ckpt)
    if of != vocoder:
        if path != Path(published):
            logger.warning("vocoder.ckpt has no effect: it is for %s, the voice model uses %s", of, vocoder)
        return None
    if path.is_file():
        return path
    if path != Path(published):
        logger.warning("vocoder.ckpt: %s does not exist; using the published %s instead", ckpt, vocoder)
    return None
