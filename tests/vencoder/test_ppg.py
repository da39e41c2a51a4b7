"""The starter encoder: its file, the timing of its units, and its invariances."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.signal import lfilter

import demo
from modules.common.errors import CheckpointError, MissingWeightsError
from modules.config import DataConfig
from modules.dsp.align import align_units
from modules.pretrained.starter import STARTER_ENCODER
from tests.support.golden_cases import voice
from vencoder import ENCODERS, ppg

AUDIO = torch.from_numpy(voice(3.0, 16000))
FIRST = ppg.DESIGNS["ppg-starter"]


@pytest.fixture(scope="module", params=list(ppg.DESIGNS))
def encoder(request, tmp_path_factory):
    weights = write(tmp_path_factory.mktemp("weights") / "weights.safetensors", ppg.DESIGNS[request.param])
    return ppg.PpgEncoder(request.param, weights=weights)


def write(path, design):
    """Write a network with random weights, in half precision."""
    torch.manual_seed(0)
    state = {name: tensor.half() for name, tensor in design.build().state_dict().items()}
    save_file(state | {"version": torch.tensor(design.version)}, path)
    return path


@pytest.mark.parametrize("name", list(ppg.DESIGNS))
def test_the_file_in_the_repository_is_small_and_independent_of_the_weights_folder(
    name, monkeypatch, tmp_path
):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    assert ppg.shipped_file(name).stat().st_size < 16e6
    encoder = ENCODERS.build(name, "cpu")
    n_parameters = sum(parameter.numel() for parameter in encoder.network.parameters())
    assert 2e6 <= n_parameters <= 8e6
    assert encoder.ssl_dim == ENCODERS[name].ssl_dim


def test_unusable_files_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "w.safetensors"
    monkeypatch.setattr(ppg, "shipped_file", lambda name: path)
    with pytest.raises(MissingWeightsError, match=r"w\.safetensors is missing.*make starter"):
        ENCODERS.build("ppg-starter", "cpu")
    for design, message in (
        (ppg.DESIGNS["ppg-starter2"], f"{re.escape(str(path))} holds version 2 .* ppg-starter is version 1"),
        (replace(FIRST, width=64), "its tensors differ"),
        (None, "does not hold weights of ppg-starter"),
    ):
        write(path, design) if design else save_file({"some.weight": torch.zeros(3)}, path)
        with pytest.raises(CheckpointError, match=message):
            ppg.PpgEncoder("ppg-starter", weights=path)


@pytest.mark.parametrize("name", list(ppg.DESIGNS))
def test_units_of_a_slice_change_when_its_sound_does(name):
    """A vowel and a hiss in turn, at known times, in a slice whose units and frames end apart."""
    rate, seconds, rng = 16000, 30.01, np.random.default_rng(0)
    changes = np.cumsum(rng.uniform(0.2, 0.3, 150))
    n_samples, n_frames = int(seconds * rate), int(seconds * 44100) // 512
    vowel = np.diff(np.floor(np.arange(n_samples + 1) * 120 / rate))  # glottal pulses
    for formant in (750, 1200, 2600):
        vowel = lfilter([1], [1, -1.96 * np.cos(2 * np.pi * formant / rate), 0.96], vowel)
    hiss = 0.05 * lfilter([1, -0.95], [1], rng.standard_normal(n_samples))

    def sounds(times: np.ndarray) -> np.ndarray:
        """1 where it hisses, -1 where the vowel sounds."""
        return 2 * (np.searchsorted(changes, times) % 2) - 1

    sound = np.where(sounds(np.arange(n_samples) / rate) > 0, hiss, 0.3 * vowel / np.abs(vowel).max())
    encoder = ENCODERS.build(name, "cpu")
    units = encoder.encode(torch.from_numpy(sound)).numpy()
    frames, shifts, lags = (np.arange(n_frames) + 0.5) * 512 / 44100, np.arange(-40, 41) / 1000, {}
    for mode in ("nearest", "time"):
        aligned = align_units(units, n_frames, DataConfig(unit_interpolate_mode=mode), encoder.clock)
        hissing = sounds(frames) > 0
        means = [aligned[:, some].mean(1, keepdims=True) for some in (hissing, ~hissing)]
        track = ((means[0] - means[1]) * (aligned - sum(means) / 2)).sum(0)
        track = (track / np.abs(track).mean()).clip(-1, 1)
        lags[mode] = [
            shifts[np.argmax([track[part] @ sounds(frames[part] - shift) for shift in shifts])]
            for part in (slice(start, start + 640) for start in range(0, n_frames - 640, 640))
        ]
    assert np.abs(lags["time"]).max() < 0.01 and len(lags["time"]) == 4
    assert np.ptp(lags["nearest"]) > 0.012 > np.ptp(lags["time"])


def test_a_unit_depends_on_its_reach_and_on_nothing_beyond(encoder):
    network, spectrum = encoder.network, encoder.spectrum
    before, after = ppg.DESIGNS[encoder.name].reach
    unit = before + 20
    wave = (1e-2 * torch.randn(320 * (unit + after + 20))).requires_grad_()
    frames = (spectrum(ppg.pad_frames(wave)[None]) + 1e-3).log()
    network(frames)[0, unit].square().sum().backward()  # LayerNorm makes the sum itself 0
    samples = wave.grad.abs().nonzero()[:, 0]
    first, last = int(samples[0]) / 320, int(samples[-1]) / 320
    assert unit - before <= first <= unit - before + 2 and unit + after - 1 <= last <= unit + after + 1
    assert encoder.name != "ppg-starter" or abs((first + last) / 2 - (unit + 0.5)) <= 0.25


def test_a_recording_may_end_anywhere_and_an_average_may_be_of_other_parts(encoder):
    """Cut off beyond its reach, a unit stays the same if the averages do; so they can be given."""
    power = encoder.spectrum(ppg.pad_frames(AUDIO)[None])
    whole, _ = ppg.relative_mel(power)
    n_units = 100
    cut, weight = ppg.relative_mel(power[:, : 2 * n_units], power)
    torch.testing.assert_close(cut, whole[:, : 2 * n_units])
    assert weight.shape == (1, 2 * n_units, 1)
    known = n_units - ppg.DESIGNS[encoder.name].reach[1]
    units, units_of_cut = encoder.network(whole), encoder.network(cut)
    torch.testing.assert_close(units_of_cut[:, :known], units[:, :known], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(units_of_cut[:, known + 5 :], units[:, known + 5 : n_units], atol=1e-3)


def test_loudness_has_no_influence_silence_little_and_graphs_and_chunks_leave_no_trace(encoder, monkeypatch):
    units = encoder.encode(AUDIO)
    torch.testing.assert_close(encoder.encode(0.1 * AUDIO), units, rtol=0.02, atol=0.02)
    longer = encoder.encode(torch.cat([AUDIO, torch.zeros(16000)]))[:, : units.shape[1]]
    assert (longer - units)[:, :100].abs().mean() < 0.1 * units.abs().mean()
    for clip in (AUDIO[:320], AUDIO[:16161]):
        torch.testing.assert_close(ppg.PpgGraph(encoder)(clip[None, None])[0].T, encoder.encode(clip))
    monkeypatch.setattr(type(ppg.DESIGNS[encoder.name]), "chunk", 40)
    torch.testing.assert_close(encoder.encode(AUDIO), units, rtol=1e-4, atol=1e-4)


def test_the_demo_takes_the_starter_or_falls_back_to_mfcc_and_says_why(monkeypatch, tmp_path, capsys):
    assert demo._encoder() == STARTER_ENCODER
    assert capsys.readouterr().out == ""
    path = tmp_path / "w.safetensors"
    monkeypatch.setattr(ppg, "shipped_file", lambda name: path)
    for _ in ("missing", "of another version"):
        assert demo._encoder() == "mfcc"
        said = capsys.readouterr().out
        assert said.startswith("speech encoder: mfcc") and str(path) in said and said.count("\n") == 1
        write(path, replace(FIRST, version=3))
