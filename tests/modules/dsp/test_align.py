import numpy as np
import pytest
import torch

from modules.common.errors import AudioError, ConfigError
from modules.dsp.align import UNIT_MODES, align_units
from tests.support.golden_cases import load_case, signal

CASE = load_case("f0_coarse")


def published():
    """The golden arrays by name, with mode, units and frames.

    Left out are "linear", which the configuration does not offer, and the published
    "left" with more units than frames, which cuts the end off.
    """
    for name in CASE.arrays:
        if name.startswith(("rep_", "repidx_")):
            _, mode, units, frames = name.split("_")
            if mode == "nearest" or (mode == "left" and int(units) <= int(frames)):
                yield name, mode, int(units), int(frames)


def test_published_values_and_indices():
    names = list(published())
    assert len(names) >= 10
    for name, mode, n_units, n_frames in names:
        units = torch.arange(n_units)
        if name.startswith("rep_"):
            units = torch.from_numpy(signal(f"rep.{n_units}", (2, n_units)))
        np.testing.assert_allclose(
            align_units(units, n_frames, mode), CASE[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("mode", UNIT_MODES)
def test_every_frame_has_its_unit_also_in_a_long_song(mode):
    for units in (torch.arange(17), torch.arange(17).expand(2, 3, -1)):
        last = align_units(units, 10, mode).reshape(-1, 10)[-1]
        assert last.tolist() == [0, 1, 3, 5, 6, 8, 10, 11, 13, 15]
    # a ratio held in float32 is off by one unit somewhere in these ten minutes
    n_units, n_frames = 30_011, 51_693
    expected = [i * n_units // n_frames for i in range(n_frames)]
    assert align_units(torch.arange(n_units), n_frames, mode).tolist() == expected
    assert align_units(np.arange(n_units), n_frames, mode, 500, 502).tolist() == expected[500:502]


def test_no_frames_and_no_units():
    assert align_units(torch.zeros(3, 5), 0, "left").shape == (3, 0)
    assert align_units(torch.zeros(3, 0), 0, "left").shape == (3, 0)
    with pytest.raises(AudioError, match="too short"):
        align_units(torch.zeros(3, 0), 2, "left")


def test_unknown_mode_names_those_there_are():
    with pytest.raises(ConfigError, match="'linear'.*left, nearest"):
        align_units(torch.zeros(3, 5), 9, "linear")
