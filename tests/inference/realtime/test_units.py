"""Units of a stream: at the time of their frames, wherever its blocks end."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from inference.realtime.units import StreamUnits
from modules.config import parse_config
from modules.dsp.unit_clock import UnitClock

RATE, HOP = 44100, 512
CONFIG = parse_config({"data": {"unit_interpolate_mode": "time"}})


@pytest.mark.parametrize("centre", [0, 160, 200])
def test_units_are_those_of_their_time_for_each_model(centre):
    """The units are the sound, a ramp; half a unit, 10 ms, from each frame at most."""
    converter = SimpleNamespace(
        encoder=SimpleNamespace(sampling_rate=16000, clock=UnitClock(centre), stream=lambda n_units: None),
        encode=lambda audio: audio[None, centre::320] * 100,
        sampling_rate=RATE,
        config=CONFIG,
        diffusion_data=replace(CONFIG.data, unit_interpolate_mode="nearest"),
    )
    ramp, window, worst = np.arange(6 * RATE, dtype=np.float32) / RATE / 100, 3 * RATE, np.zeros(2)
    stream = StreamUnits(converter, 2.0)
    for end in range(3 * RATE, 6 * RATE, 33 * HOP):
        stream.extend(ramp[end - window : end], end)
        last = end // HOP
        frames = (np.arange(last - 120, last - 10) + 0.5) * HOP / RATE
        for index, units in enumerate(stream.units(last - 120, last - 10)):
            worst[index] = max(worst[index], np.abs(units[0] - frames).max())
    assert worst[0] < 0.0102 < 0.011 < worst[1]
