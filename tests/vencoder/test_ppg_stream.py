"""Units of a recording that goes on are those of its window, encoded at once."""

import numpy as np
import torch

from tests.support.golden_cases import voice
from vencoder import ENCODERS


def test_a_stream_of_units_is_the_window_encoded_again():
    encoder = ENCODERS.build("ppg-starter", "cpu")
    n_units, audio = 150, np.pad(voice(3.0, 16000), (32000, 0)).astype(np.float32)
    stream = encoder.stream(n_units)
    for end in range(n_units, len(audio) // 320, 2):
        window = audio[(end - n_units) * 320 : end * 320]
        units = stream.push(window, 2, 4)
    whole = encoder.encode(torch.from_numpy(window)).numpy()
    similarity = (units * whole).sum(0) / np.linalg.norm(units, axis=0) / np.linalg.norm(whole, axis=0)
    # the last hear one frame less; older ones were never told of what came half a second later
    assert similarity[-50:].min() > 0.8 and similarity[-50:].mean() > 0.9


def test_other_encoders_encode_again():
    assert ENCODERS.build("mfcc", "cpu").stream(100) is None
