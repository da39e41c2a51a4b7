"""RMS per frame: the volume of models with volume embedding."""

from __future__ import annotations

import numpy as np


def frame_rms(audio: np.ndarray, hop_length: int) -> np.ndarray:
    """RMS (T // hop_length,), linear float32, of ``audio`` (T,), as in the published project.

    Frame i covers ``hop_length`` samples centred on sample ``i * hop_length``; before
    the start the squared signal is mirrored, where ``librosa.feature.rms`` has silence.
    """
    n_frames = len(audio) // hop_length
    if n_frames == 0:
        return np.zeros(0, np.float32)
    before = hop_length // 2
    power = np.square(audio[: n_frames * hop_length], dtype=np.float32)
    power = np.pad(power, (before, 0), mode="reflect")[: n_frames * hop_length]
    return np.sqrt(power.reshape(n_frames, hop_length).mean(1))
