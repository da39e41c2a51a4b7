"""How near a voice comes to its own recordings: held-out clips converted to the voice that spoke them.

Source and wanted result are then one and the same, so every frame can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from evaluation.conversions import Score, Take
from evaluation.evaluators.base import Judge
from modules.config import DataConfig
from modules.dsp.f0 import fill_unvoiced
from modules.dsp.mcd import mel_cepstral_distortion
from modules.dsp.mel import LogMel


class Distortion(Judge):
    """Mel-cepstral distortion (see modules/dsp/mcd.py) of a conversion, beside that of its vocoder."""

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "mcd" of a held-out clip."""
        song = take.song
        mel = LogMel(sampling_rate=song.sampling_rate, hop_length=song.hop_length)

        def distortion(audio: np.ndarray) -> float:
            recorded, made = (
                mel(torch.from_numpy(x.astype(np.float32))[None])[0] for x in (song.audio, audio)
            )
            return mel_cepstral_distortion(recorded, made)

        copy = float("nan") if take.copy is None else distortion(take.copy)
        return {"mcd": Score(distortion(take.audio), copy)}


def vocoded(audio: np.ndarray, data: DataConfig, vocoder: Any, f0: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return a recording (T,) as a vocoder alone renders its mel: the least distortion it allows.

    Args:
        audio: Samples.
        data: Analysis settings.
        vocoder: See vdecoder/base.py.
        f0: (N,), Hz, of the recording.
        uv: (N,), 1 = voiced.
    """
    mel = LogMel.from_config(data)(torch.from_numpy(audio)[None])[0][:, : len(f0)]
    pitch, voiced = (torch.from_numpy(track.astype(np.float32)) for track in (fill_unvoiced(f0)[0], uv))
    return vocoder.synthesize(mel, pitch, voiced).float().cpu().numpy()
