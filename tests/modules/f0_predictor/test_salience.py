"""Decoding of salience, interpolation of 10 ms frames, and chunks of long recordings."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from modules.dsp.f0 import interpolate
from modules.f0_predictor.salience import SaliencePredictor, decode

CENTS = 1997.3794084376191 + 20 * np.arange(360)


def hill(*pitches, height=0.9):
    """Salience (L, 360) with one peak per frame, as wide as in the networks' training."""
    centre = 1200 * np.log2(np.array(pitches, np.float64) / 10)
    return (height * np.exp(-np.square(CENTS - centre[:, None]) / 1250)).astype(np.float32)


class StubPredictor(SaliencePredictor):
    """Has a given salience."""

    def __init__(self, salience, **kwargs):
        super().__init__(**kwargs)
        self.cents, self.given = CENTS, torch.from_numpy(salience)

    def salience(self, sound):
        self.sound = sound.numpy()
        n_frames = len(sound) // 160 + 1
        half = n_frames // 2
        yield self.given[:half]
        yield self.given[half:n_frames]


def test_pitches_between_bins_above_the_threshold_and_within_the_range():
    pitches = np.geomspace(60, 1000, 50)
    found = decode(hill(*pitches), CENTS, 50.0, 1100.0, 0.05)
    assert np.abs(1200 * np.log2(found / pitches)).max() < 0.6

    peaks = np.zeros((3, 360), np.float32)  # the threshold itself is unvoiced
    peaks[:, 200] = [0.25, 0.5, 0.75]
    assert (decode(peaks, CENTS, 50.0, 1100.0, 0.5) > 0).tolist() == [False, False, True]

    # a louder pitch outside the range is ignored
    both = np.maximum(hill(200.0, height=0.5), hill(880.0, height=0.9))
    assert decode(both, CENTS, 50.0, 1100.0, 0.05)[0] == pytest.approx(880, rel=1e-3)
    assert decode(both, CENTS, 50.0, 500.0, 0.05)[0] == pytest.approx(200, rel=1e-3)
    assert decode(hill(880.0), CENTS, 50.0, 500.0, 0.05)[0] == 0


@pytest.mark.parametrize(("low", "high"), [(123.0, 247.0), (20.0, 4000.0), (219.0, 221.0)])
def test_the_range_includes_its_limits(low, high):
    rng = np.random.default_rng(0)
    found = decode(rng.random((200, 360), np.float32), CENTS, low, high, 0.05)
    assert found.min() >= low and found.max() <= high
    inside = np.array([low, high]).clip(*10 * 2 ** (CENTS[[0, -1]] / 1200))
    at_the_limits = decode(hill(*inside), CENTS, low, high, 0.05)
    assert np.abs(1200 * np.log2(at_the_limits / inside)).max() < 20


def test_interpolation():
    """Linear in cents, with the nearest frame's voicing, and without a glide across a leap."""
    track = 220 * 2 ** (np.arange(50) / 24)
    times = np.linspace(0, 49, 777)
    np.testing.assert_allclose(interpolate(track, times), 220 * 2 ** (times / 24), rtol=1e-9)
    track = np.array([0.0, 200.0, 200.0, 0.0])
    read = interpolate(track, np.array([0.4, 0.6, 1.5, 2.4, 2.6, 3.0, 3.7]))
    assert read.tolist() == [0, 200, 200, 200, 0, 0, 0]
    read = interpolate(np.array([200.0, 400.0]), np.array([0.0, 0.4, 0.6, 1.0, 1.4]))
    assert read.tolist() == [200, 200, 400, 400, 400]


def test_frames_past_the_end_are_unvoiced_and_only_quiet_recordings_scaled():
    f0, uv = StubPredictor(hill(*[220.0] * 101)).predict(np.sin(np.arange(44100)).astype(np.float32), 100)
    assert uv.tolist() == [1] * 87 + [0] * 13  # frame 86 starts at 0.9985 s
    np.testing.assert_allclose(f0, 220, rtol=1e-4)
    stub = StubPredictor(hill(*[220.0] * 101), sampling_rate=16000, hop_length=160)
    for peak, expected in ((1e-4, 0.3), (0.29, 0.3), (0.31, 0.31), (2.0, 2.0)):
        stub.predict(peak * np.sin(np.pi / 2 * np.arange(16000)))
        assert np.abs(stub.sound).max() == pytest.approx(expected, rel=1e-4)


def test_packages_are_imported_with_any_torchaudio(tmp_path):
    (tmp_path / "torchaudio.py").write_text("raise RuntimeError('compiled with different CUDA versions')")
    code = (
        "import os, sys\n"
        "before = dict(os.environ)\n"
        "from modules.f0_predictor.isolation import isolated_import\n"
        "with isolated_import():\n    import torchcrepe, torchfcpe\n"
        "sys.exit(str(dict(os.environ) != before or 'torchaudio' in sys.modules or ''))"
    )
    command, environment = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(tmp_path)}
    root = Path(__file__).parents[3]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert (result.stdout, result.stderr.strip()) == ("", "")
