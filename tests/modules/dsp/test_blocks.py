"""What is computed in blocks or windows is what it is as a whole."""

import numpy as np
import pytest
import torch

from modules.dataset import perturb
from modules.dataset.report import is_clipped
from modules.dsp import loudness, mel
from modules.dsp.blocks import ScratchAudio, blocks, changed, part, peak, spans
from modules.dsp.frame_rms import frame_rms
from modules.f0_predictor import F0_PREDICTORS
from tests.support.golden_cases import voice
from vencoder import ENCODERS, mfcc

RATE = 44100


def test_a_recording_on_the_disk_is_the_one_in_memory(tmp_path):
    audio = voice(0.5, RATE)
    with ScratchAudio(tmp_path, np.array_split(audio, 7)) as scratch:
        assert len(scratch) == len(audio) and not list(tmp_path.glob("*.wav"))
        np.testing.assert_array_equal(np.concatenate(list(blocks(scratch, 1000))), audio)
        inner = changed(part(part(scratch, 1000, 20000), 500, 15000), lambda block: 2 * block)
        want = 2 * audio[1000:20000][500:15000]
        assert len(inner) == len(want) and peak(inner) == np.abs(want).max()
        for where in (slice(None), slice(3, 70), slice(14000, 99999), slice(0, 0)):
            np.testing.assert_array_equal(inner[where], want[where])
        np.testing.assert_array_equal(*(loudness.trim_silence(x, RATE)[:] for x in (scratch, audio)))
    with ScratchAudio(tmp_path, []) as scratch:
        assert len(scratch) == 0 == peak(scratch) and len(scratch[:]) == 0


@pytest.mark.parametrize(
    ("length", "step", "margin"), [(0, 5, 1), (7, 5, 1), (8, 5, 1), (23, 5, 2), (10, 1, 0)]
)
def test_spans_keep_everything_once(length, step, margin):
    numbers = np.arange(length)
    found = [numbers[read][keep] for read, keep in spans(length, step, margin)]
    np.testing.assert_array_equal(np.concatenate([numbers[:0], *found]), numbers)
    assert all(read.stop - read.start <= step + 2 * margin for read, _ in spans(length, step, margin))


def test_clipping_at_the_border_of_two_blocks_is_seen(monkeypatch):
    for first in range(2**18 - 5, 2**18 + 2):
        audio = np.zeros(2**18 + 50, np.float32)
        audio[first : first + 4] = -1.0
        assert is_clipped(audio)
        audio[first + 2] = 0.5
        assert not is_clipped(audio)
    assert not is_clipped(np.ones(3, np.float32)) and not is_clipped(np.ones(0, np.float32))


def test_loudness_in_windows_is_that_of_the_whole(monkeypatch):
    fades = np.repeat([1.0, 0.001, 0.3, 0.0, 0.1], RATE * 3 // 2)[: 7 * RATE + 99]
    audio = (voice(8.0, RATE)[: len(fades)] * fades).astype(np.float32)
    whole = loudness.integrated_loudness(audio, RATE)
    monkeypatch.setattr(loudness, "_WINDOW", 2)
    assert loudness.integrated_loudness(audio, RATE) == pytest.approx(whole, abs=1e-3)
    assert loudness.integrated_loudness(np.zeros(9 * RATE, np.float32), RATE) == -np.inf


def test_features_in_windows_are_those_of_the_whole(monkeypatch):
    audio = voice(6.3, RATE)
    wave = torch.from_numpy(audio)[None]
    logmel, encoder = mel.LogMel(), ENCODERS.build("mfcc")
    wholes = [logmel(wave), logmel(wave, key_shift=3.0), encoder.encode(wave[0, : 3 * 16000])]
    copies = perturb.perturb_voice(audio[:48000], 16000, 2, np.random.default_rng(0))
    monkeypatch.setattr(mel, "_CHUNK", 100)
    monkeypatch.setattr(mfcc, "_CHUNK", 40)
    monkeypatch.setattr(perturb, "WINDOW", 1.0)
    parts = [logmel(wave), logmel(wave, key_shift=3.0), encoder.encode(wave[0, : 3 * 16000])]
    for whole, windowed in zip(wholes, parts, strict=True):
        torch.testing.assert_close(windowed, whole, rtol=0, atol=1e-4)  # only rounding
    windowed = perturb.perturb_voice(audio[:48000], 16000, 2, np.random.default_rng(0))
    for copy, whole in zip(windowed, copies, strict=True):  # pulses begin elsewhere, levels do not change
        assert np.corrcoef(frame_rms(copy, 640), frame_rms(whole, 640))[0, 1] > 0.95


@pytest.mark.parametrize("name", ["pm", "dio"])
def test_the_pitch_of_windows_is_that_of_the_whole(name):
    tracker = F0_PREDICTORS.build(name)
    audio = voice(9.0, RATE)
    whole, whole_uv = tracker.predict(audio)
    tracker.window_seconds = 2.0
    f0, uv = tracker.predict(audio)
    assert np.mean(uv == whole_uv) > 0.99
    both = (uv > 0) & (whole_uv > 0)
    assert np.abs(1200 * np.log2(f0 / whole))[both].max() < 5
    f0, uv = tracker.predict(np.pad(audio, (0, 5 * RATE)), 1400)  # windows of silence, and beyond the end
    assert f0.shape == (1400,) and not uv[800:].any()
