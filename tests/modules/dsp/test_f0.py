import itertools
import math

import numpy as np
import pytest
import torch

from modules.dsp.f0 import (
    drop_brief_extremes,
    f0_to_coarse,
    fill_unvoiced,
    hz_to_lf0,
    lf0_to_hz,
    normalize_lf0,
    repair_octaves,
)
from tests.support.golden_cases import load_case

COARSE = load_case("f0_coarse")
FILL = load_case("f0_resize_fill")


def test_coarse_bins_are_the_published_ones_and_can_always_be_embedded():
    f0 = COARSE["f0"]
    bins = f0_to_coarse(torch.from_numpy(f0)).numpy()
    mel = 1127 * np.log1p(np.maximum(f0, 0).astype(np.float64) / 700)
    first, last = (1127 * math.log1p(f / 700) for f in (50, 1100))
    exact = (mel - first) * 254 / (last - first) + 1
    tie = np.abs(exact - np.floor(exact) - 0.5) < 1e-3  # either neighbour is right there
    # the stored bins wrap to 0 above the range, where their manifest promises 255
    published = np.where(exact > 255.5, 255, COARSE["coarse"])
    np.testing.assert_array_equal(bins[~tie], published[~tie])
    assert np.abs(bins - published).max() <= 1
    assert bins.dtype == np.int64
    odd = torch.tensor([0.0, -1.0, -700.0, -1e9, math.nan, 1e-30, math.inf, 50.0, 1100.0])
    assert f0_to_coarse(odd).tolist() == [1, 1, 1, 1, 1, 1, 255, 1, 255]
    assert f0_to_coarse(torch.full((2, 1, 3), 440.0)).shape == (2, 1, 3)


def test_log_scale_there_and_back():
    f0 = torch.cat([torch.zeros(1), torch.linspace(50, 1100, 500)]).double()
    assert hz_to_lf0(f0)[0] == 0
    torch.testing.assert_close(lf0_to_hz(hz_to_lf0(f0)), f0, rtol=0, atol=1e-9)
    assert hz_to_lf0(torch.tensor(700.0)).item() == pytest.approx(2595 * math.log10(2) / 500)


def test_normalize_gives_the_published_values_and_keeps_nan_in_its_item():
    lf0, mask, uv = (torch.from_numpy(COARSE[f"norm_{name}"]) for name in ("lf0_in", "mask", "uv"))
    ones, scaled = torch.ones(3), torch.tensor((0.85, 1.1, 1.2))
    for factor, golden in ((None, "norm_out"), (ones, "norm_out"), (scaled, "norm_out_scaled")):
        got = normalize_lf0(lf0, mask, uv, factor)
        torch.testing.assert_close(got, torch.from_numpy(COARSE[golden]), rtol=1e-4, atol=1e-5)
    lf0, uv, mask = torch.ones(2, 1, 30), torch.ones(2, 30), torch.ones(2, 1, 30)
    lf0[0, 0, 1] = math.nan
    normalized = normalize_lf0(lf0, mask, uv)
    assert normalized[0].isnan().any() and not normalized[1].any()


def test_filling_is_the_published_one():
    for n_frames in (10, 12, 13, 14):
        f0, uv = fill_unvoiced(FILL[f"resize_{n_frames}"])
        np.testing.assert_allclose(f0, FILL[f"fill_{n_frames}"], atol=1e-4)
        np.testing.assert_array_equal(uv, FILL[f"uv_{n_frames}"])
    for case in (load_case("f0_crepe"), load_case("f0_rmvpe")):
        for n_frames in (7, 9, 10, 12):
            f0, uv = fill_unvoiced(case["post_in"][np.arange(n_frames) * len(case["post_in"]) // n_frames])
            np.testing.assert_allclose(f0, case[f"post_f0_{n_frames}"], atol=1e-4)
            np.testing.assert_array_equal(uv, case[f"post_uv_{n_frames}"])


def test_one_voiced_frame_is_held_and_none_is_two_arrays_of_zeros():
    for only in range(5):
        track = np.zeros(5)
        track[only] = 200.0
        f0, uv = fill_unvoiced(track)
        assert f0.tolist() == [200.0] * 5 and uv.tolist() == (track > 0).tolist()
    for n_frames, unvoiced in itertools.product((0, 1, 4), (0.0, math.nan, -1.0)):
        f0, uv = fill_unvoiced(np.full(n_frames, unvoiced))
        assert f0.tolist() == uv.tolist() == [0.0] * n_frames
        assert f0.dtype == uv.dtype == np.float32 and not np.shares_memory(f0, uv)
    track = np.array([0.0, 100.0, math.nan, 200.0], np.float32)
    before = track.copy()
    f0, uv = fill_unvoiced(track)
    assert f0.tolist() == [100, 100, 150, 200] and uv.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(track, before)


FRAME_RATE = 44100 / 512  # Hz


def test_brief_octave_errors_are_repaired_and_melodies_stay():
    note = 440.0 * 2 ** (0.02 * np.sin(np.arange(200) / 5))
    for where, octave in ((slice(50, 58), -1), (slice(100, 110), 1), (slice(0, 4), -1), (slice(197, 200), 1)):
        wrong = note.copy()
        wrong[where] *= 2.0**octave
        np.testing.assert_array_equal(repair_octaves(wrong, FRAME_RATE), note)
    flicker = note.copy()
    flicker[10:30:2] /= 2
    flicker[90], note[90] = np.nan, np.nan
    flicker[150:154], note[150:154] = 0, 0
    np.testing.assert_array_equal(repair_octaves(flicker, FRAME_RATE), note)
    for melody in (np.repeat([220.0, 440.0, 220.0], 20), np.repeat([220.0, 330.0, 220.0], 4), np.zeros(9)):
        assert (
            repair_octaves(melody, FRAME_RATE) is melody
            or (repair_octaves(melody, FRAME_RATE) == melody).all()
        )
    blip = np.array([0.0, 440.0, 440.0, 220.0, 0.0])  # no telling which is right
    np.testing.assert_array_equal(repair_octaves(blip, FRAME_RATE), blip)
    apart = np.repeat([220.0, 0.0, 440.0, 0.0, 220.0], 4)  # three notes
    np.testing.assert_array_equal(repair_octaves(apart, FRAME_RATE), apart)


def test_only_notes_reach_beyond_the_usual_range():
    track = np.full(100, 440.0)
    track[10:15], track[20:23], track[40:60], track[70:90] = 1780, 40, 1568, 41
    found = drop_brief_extremes(track, FRAME_RATE)
    assert np.flatnonzero(found == 0).tolist() == [*range(10, 15), *range(20, 23)]
    assert (found[40:60] == 1568).all() and (found[70:90] == 41).all()
