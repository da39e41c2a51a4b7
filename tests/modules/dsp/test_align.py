import numpy as np
import pytest
import torch

from modules.common.errors import AudioError
from modules.config import DataConfig
from modules.dsp.align import align_units
from modules.dsp.unit_clock import UnitClock
from tests.support.golden_cases import load_case, signal

COARSE = load_case("f0_coarse")
CLOCK = UnitClock(160)
LEFT, NEAREST, TIME = (DataConfig(unit_interpolate_mode=mode) for mode in ("left", "nearest", "time"))


def published():
    """The golden arrays by name, with settings, units and frames.

    Left out are "linear", which the configuration does not offer, and the published
    "left" with more units than frames, which cuts the end off.
    """
    for name in COARSE.arrays:
        if name.startswith(("rep_", "repidx_")):
            _, mode, units, frames = name.split("_")
            if mode == "nearest" or (mode == "left" and int(units) <= int(frames)):
                yield name, DataConfig(unit_interpolate_mode=mode), int(units), int(frames)


def test_aligned_units_are_the_published_ones():
    names = list(published())
    assert len(names) >= 10
    for name, data, n_units, n_frames in names:
        units = torch.arange(n_units)
        if name.startswith("rep_"):
            units = torch.from_numpy(signal(f"rep.{n_units}", (2, n_units)))
        np.testing.assert_allclose(
            align_units(units, n_frames, data, CLOCK), COARSE[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("data", [LEFT, NEAREST])
def test_every_frame_has_its_unit_also_in_a_long_song(data):
    for units in (torch.arange(17), torch.arange(17).expand(2, 3, -1)):
        last = align_units(units, 10, data, CLOCK).reshape(-1, 10)[-1]
        assert last.tolist() == [0, 1, 3, 5, 6, 8, 10, 11, 13, 15]
    # a ratio held in float32 is off by one unit somewhere in these ten minutes
    n_units, n_frames = 30_011, 51_693
    expected = [i * n_units // n_frames for i in range(n_frames)]
    assert align_units(torch.arange(n_units), n_frames, data, CLOCK).tolist() == expected
    assert align_units(np.arange(n_units), n_frames, data, CLOCK, 500, 502).tolist() == expected[500:502]


@pytest.mark.parametrize("centre", [0, 160, 200])
@pytest.mark.parametrize(("rate", "hop"), [(44100, 512), (48000, 512), (22050, 256)])
@pytest.mark.parametrize("unit_hop", [160, 320])
def test_a_frame_takes_the_unit_nearest_in_time(centre, rate, hop, unit_hop):
    """Over slices of about 30 s, whose lengths are not whole numbers of units or frames, and over an hour."""
    clock = UnitClock(centre, unit_hop)
    worst = dict.fromkeys(("nearest", "time"), 0.0)
    for seconds in (29.4, 29.991, 30.007, 3600.0):
        n_frames = int(seconds * rate) // hop
        n_units = (int(seconds * 16000) - 2 * centre) // unit_hop + 1
        middles = (unit_hop * np.arange(n_units) + centre) / 16000
        frames = (np.arange(n_frames) + 0.5) * hop / rate
        half = unit_hop / 2 / 16000
        inside = (frames > middles[0] - half) & (frames < middles[-1] + half)
        for mode in worst:
            data = DataConfig(sampling_rate=rate, hop_length=hop, unit_interpolate_mode=mode)
            aligned = align_units(middles, n_frames, data, clock)
            worst[mode] = max(worst[mode], np.abs(aligned - frames)[inside].max() / half)
        # before the first and after the last there are only these
        assert (aligned[frames < middles[0]] == middles[0]).all()
        assert (aligned[frames > middles[-1]] == middles[-1]).all()
        part = align_units(middles, n_frames, data, clock, 700, 1300)
        assert np.array_equal(part, aligned[700:1300])
        tensors = align_units(torch.from_numpy(middles).expand(2, -1), n_frames, data, clock)
        assert np.array_equal(tensors[1], aligned)
    assert worst["time"] <= 1 + 1e-9 and 1.2 < worst["nearest"]


@pytest.mark.parametrize("data", [LEFT, TIME])
def test_no_frames_and_no_units(data):
    assert align_units(torch.zeros(3, 5), 0, data, CLOCK).shape == (3, 0)
    assert align_units(torch.zeros(3, 0), 0, data, CLOCK).shape == (3, 0)
    with pytest.raises(AudioError, match="too short"):
        align_units(torch.zeros(3, 0), 2, data, CLOCK)
