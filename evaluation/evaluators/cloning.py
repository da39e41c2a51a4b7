"""Similarity to the recordings themselves: held-out clips converted to the voice that sang them.

Source and target are then the same recording, so every frame can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from evaluation.conversions import NAN, Conversion, EvalScore
from evaluation.evaluators.base import Evaluator
from modules.config import DataConfig
from modules.dsp.f0 import fill_unvoiced
from modules.dsp.mcd import mel_cepstral_distortion
from modules.dsp.mel import LogMel


class Distortion(Evaluator):
    """Mel-cepstral distortion (see modules/dsp/mcd.py) of a conversion, beside that of its vocoder."""

    def evaluate(self, conversion: Conversion) -> dict[str, EvalScore]:
        """Score "mcd" of a held-out clip."""
        song = conversion.song
        mel = LogMel(DataConfig(sampling_rate=song.sampling_rate, hop_length=song.hop_length))

        def distortion(audio: np.ndarray) -> float:
            recorded, made = (
                mel(torch.from_numpy(x.astype(np.float32))[None])[0] for x in (song.audio, audio)
            )
            return mel_cepstral_distortion(recorded, made)

        copy = conversion.copy_synthesis
        return {"mcd": EvalScore(distortion(conversion.audio), NAN if copy is None else distortion(copy))}


def copy_synthesis(
    audio: np.ndarray, data: DataConfig, vocoder: Any, f0: np.ndarray, uv: np.ndarray
) -> np.ndarray:
    """Recording (T,) as ``vocoder`` renders its own mel: a lower bound of the distortion.

    F0 (N,), Hz, is that of the recording; uv (N,), 1 = voiced, as the vocoder wants it.
    """
    mel = LogMel(data)(torch.from_numpy(audio)[None])[0][:, : len(f0)]
    pitch, voiced = (torch.from_numpy(track.astype(np.float32)) for track in (fill_unvoiced(f0)[0], uv))
    return vocoder.synthesize(mel, pitch, voiced).float().cpu().numpy()
