import numpy as np
import pytest
import torch

from modules.common.errors import AudioError, ConfigError
from modules.dsp.align import UNIT_MODES, align_units
from tests.support.golden_cases import load_case, signal

CASE = load_case("f0_coarse")


def _goldens(prefix):
    """Return (name, mode, units, frames) of the goldens that are called ``prefix`` and more.

    Left out are "linear", which the configuration does not offer, and the published
    "left" with more units than frames, which cuts the end off.
    """
    parts = [(name, *name.split("_")[1:]) for name in CASE.arrays if name.startswith(prefix)]
    sizes = [(name, mode, int(units), int(frames)) for name, mode, units, frames in parts]
    return [size for size in sizes if size[1] == "nearest" or (size[1] == "left" and size[2] <= size[3])]


@pytest.mark.parametrize(("name", "mode", "n_units", "n_frames"), _goldens("rep_"))
def test_published_values(name, mode, n_units, n_frames):
    units = torch.from_numpy(signal(f"rep.{n_units}", (2, n_units)))
    torch.testing.assert_close(
        align_units(units, n_frames, mode), torch.from_numpy(CASE[name]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("name", "mode", "n_units", "n_frames"), _goldens("repidx_"))
def test_published_indices(name, mode, n_units, n_frames):
    np.testing.assert_array_equal(align_units(torch.arange(n_units), n_frames, mode), CASE[name])


@pytest.mark.parametrize("mode", UNIT_MODES)
def test_down_sampling_reaches_the_end(mode):
    assert align_units(torch.arange(17), 10, mode).tolist() == [0, 1, 3, 5, 6, 8, 10, 11, 13, 15]


@pytest.mark.parametrize("mode", UNIT_MODES)
def test_every_frame_keeps_its_unit_in_a_long_song(mode):
    # a ratio held in float32 is off by one unit somewhere in these ten minutes
    n_units, n_frames = 30_011, 51_693
    expected = [i * n_units // n_frames for i in range(n_frames)]
    assert align_units(torch.arange(n_units), n_frames, mode).tolist() == expected


@pytest.mark.parametrize("mode", UNIT_MODES)
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 1, 3, 5)])
def test_leading_dimensions_are_free(mode, shape):
    units = torch.from_numpy(signal("units", shape))
    stretched = align_units(units, 9, mode)
    assert stretched.shape == (*shape[:-1], 9)
    row = align_units(units.reshape(-1, 5)[-1], 9, mode)
    torch.testing.assert_close(stretched.reshape(-1, 9)[-1], row, rtol=0, atol=0)


@pytest.mark.parametrize("mode", UNIT_MODES)
def test_no_frames_and_no_units(mode):
    assert align_units(torch.zeros(3, 5), 0, mode).shape == (3, 0)
    assert align_units(torch.zeros(3, 0), 0, mode).shape == (3, 0)
    with pytest.raises(AudioError, match="too short"):
        align_units(torch.zeros(3, 0), 2, mode)


def test_unknown_mode_names_those_there_are():
    with pytest.raises(ConfigError, match="'linear'.*left, nearest"):
        align_units(torch.zeros(3, 5), 9, "linear")
