"""Formant shift: a longer or shorter vocal tract at the same pitch.

The model sings lower by the shift, and its mel is stretched along the frequency axis by as
much: harmonics come back to where they belong, and formants have moved. So any vocoder that takes
a mel can do it, and no envelope has to be guessed. Stretched harmonics are as many and lie further
apart: a voice of that pitch has less of them in a band, so voiced frames are lowered.
"""

from __future__ import annotations

import math

import numpy as np

from modules.config import DataConfig
from modules.dsp.mel_basis import mel_centres

PER_SEMITONE = math.log(2) / 12  # by which the level of voiced frames falls, natural log


def shift_matrix(data: DataConfig, semitones: float) -> np.ndarray:
    """Weights (M, M), float32, that stretch a log-mel (M, N) along its frequencies by ``semitones``.

    What lies beyond either end of the axis is as the end.
    """
    centres = mel_centres(data.n_mels, data.f_min, data.f_max)
    wanted = centres / 2.0 ** (semitones / 12.0)  # Hz, of which each band takes the level
    place = np.interp(wanted, centres, np.arange(len(centres)))
    low = np.minimum(place.astype(np.int64), len(centres) - 2)
    weights = np.zeros((len(centres), len(centres)), np.float32)
    rows = np.arange(len(centres))
    weights[rows, low] = 1 - (place - low)
    weights[rows, low + 1] += place - low
    return weights
