"""Units of a recording that goes on are those of its window, encoded at once."""

import numpy as np
import pytest
import torch

from tests.support.golden_cases import voice
from vencoder import ENCODERS
from vencoder.ppg import DESIGNS


@pytest.mark.parametrize(("name", "least", "mean"), [("ppg-starter", 0.8, 0.9), ("ppg-starter2", 0.6, 0.85)])
def test_a_stream_of_units_is_the_window_encoded_again(name, least, mean):
    encoder = ENCODERS.build(name, "cpu")
    n_units, audio = 150, np.pad(voice(3.0, 16000), (32000, 0)).astype(np.float32)
    stream = encoder.stream(n_units)
    for end in range(n_units, len(audio) // 320, 2):
        window = audio[(end - n_units) * 320 : end * 320]
        units = stream.push(window, len(window), 2, 4)
    whole = encoder.encode(torch.from_numpy(window)).numpy()
    similarity = (units * whole).sum(0) / np.linalg.norm(units, axis=0) / np.linalg.norm(whole, axis=0)
    # the last hear one frame less; older ones were never told of what came half a second later
    assert similarity[-50:].min() > least and similarity[-50:].mean() > mean


@pytest.mark.parametrize("name", DESIGNS)
def test_a_held_note_has_the_units_that_it_keeps(name):
    """Those at the end of what was heard, and those guessed after it, are the same half a second later."""
    encoder, n_units, n_guessed = ENCODERS.build(name, "cpu"), 150, 10
    time = np.arange(4 * 16000) / 16000
    note = sum(0.1 * np.sin(2 * np.pi * 200 * k * time) / k for k in range(1, 20)).astype(np.float32)
    stream = encoder.stream(n_units)
    found = []
    for end in (160, 185):
        heard = note[(end + n_guessed - n_units) * 320 : end * 320 - 100]
        mirror = heard[-2 : -2 - n_guessed * 320 - 100 : -1]
        found.append(stream.push(np.concatenate([heard, mirror]), len(heard), n_units, n_units))
    change = np.sqrt(np.square(found[0][:, -35:] - found[1][:, -60:-25]).mean(0))
    assert change.max() < 0.15  # units have a deviation of about 1


def test_other_encoders_encode_again():
    assert ENCODERS.build("mfcc", "cpu").stream(100) is None
