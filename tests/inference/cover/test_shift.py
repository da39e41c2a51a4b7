"""The key of a whole recording: as long as before, in tune, in windows that join."""

import importlib.util

import numpy as np
import pytest

from inference.cover import shift
from modules.common.errors import MissingWeightsError
from modules.f0_predictor import F0_PREDICTORS
from separation.base import RATE
from tests.support.golden_cases import voice

MISSING = importlib.util.find_spec("pedalboard") is None


@pytest.mark.skipif(MISSING, reason="needs pedalboard")
def test_a_song_moves_by_semitones(monkeypatch):
    monkeypatch.setattr(shift, "_STEP", 2 * RATE)
    monkeypatch.setattr(shift, "_MARGIN", RATE)
    sung = np.asarray(voice(6.0, RATE, 220.0), np.float32)
    moved = np.concatenate(list(shift.shift_key(np.stack([sung, sung], 1), 3.0)))
    assert moved.shape == (len(sung), 2) and moved.dtype == np.float32
    tracker = F0_PREDICTORS.build("pm")
    (before, spoken), (after, heard) = tracker.predict(sung), tracker.predict(moved[:, 0])
    both = (spoken > 0) & (heard > 0)
    assert abs(np.median(12 * np.log2(after[both] / before[both])) - 3) < 0.1
    assert 0.5 < np.square(moved).mean() / np.square(sung).mean() < 2


@pytest.mark.skipif(not MISSING, reason="pedalboard is installed")
def test_without_the_library_one_sentence_names_it():
    with pytest.raises(MissingWeightsError, match="pip install .pedalboard"):
        shift.check_pedalboard("--instrumental_key")
