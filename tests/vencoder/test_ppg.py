"""The starter encoder: its file, where its units stand in time, and what it must not hear."""

import re

import pytest
import torch
from safetensors.torch import save_file

import demo
from modules.common.errors import CheckpointError, MissingWeightsError
from tests.support.golden_cases import voice
from vencoder import ENCODERS, ppg


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return ppg.PpgEncoder(weights=write(tmp_path_factory.mktemp("weights") / "weights.safetensors"))


@pytest.fixture(scope="module")
def audio():
    return torch.from_numpy(voice(3.0, 16000))


def write(path, version=ppg.VERSION, **network):
    """Write a network with random weights, in half precision."""
    torch.manual_seed(0)
    state = {name: tensor.half() for name, tensor in ppg.Network(**network).state_dict().items()}
    save_file(state | {"version": torch.tensor(version)}, path)
    return path


def test_the_file_in_the_repository_is_small_and_found_whatever_the_folder_of_weights_is(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    assert ppg.WEIGHTS.stat().st_size < 8e6
    encoder = ENCODERS.build("ppg-starter", "cpu")
    n_parameters = sum(parameter.numel() for parameter in encoder.network.parameters())
    assert 2e6 <= n_parameters <= 4e6


def test_a_missing_file_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(ppg, "WEIGHTS", tmp_path / "gone.safetensors")
    with pytest.raises(MissingWeightsError, match="gone.safetensors is missing.*make starter"):
        ENCODERS.build("ppg-starter", "cpu")


def test_a_file_of_another_version_says_so(tmp_path):
    path = write(tmp_path / "w.safetensors", version=ppg.VERSION + 1)
    with pytest.raises(CheckpointError, match=rf"{re.escape(str(path))} holds version {ppg.VERSION + 1}"):
        ppg.PpgEncoder(weights=path)


def test_a_file_of_another_size_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="its tensors differ"):
        ppg.PpgEncoder(weights=write(tmp_path / "w.safetensors", width=64))


def test_a_file_of_another_kind_is_refused(tmp_path):
    save_file({"some.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="holds no weights of ppg-starter"):
        ppg.PpgEncoder(weights=tmp_path / "w.safetensors")


def test_a_unit_is_in_the_middle_of_what_it_hears(encoder):
    network, spectrum = encoder.network, encoder.spectrum
    n_units, unit = 200, 100
    wave = (1e-2 * torch.randn(320 * n_units)).requires_grad_()
    frames = (spectrum(ppg.padded(wave)[None]) + 1e-3).log()
    network(frames)[0, unit].square().sum().backward()  # LayerNorm makes the sum itself 0
    frames_heard = wave.grad.abs().nonzero()[:, 0]
    first, last = int(frames_heard[0]), int(frames_heard[-1])
    assert abs((first + last) / 2 - (unit + 0.5) * 320) <= 80
    assert (last - first) / 320 / 2 < ppg._REACH


def test_loudness_and_the_microphone_have_no_influence(encoder, audio):
    units = encoder.encode(audio)
    torch.testing.assert_close(encoder.encode(0.1 * audio), units, rtol=0.02, atol=0.02)


def test_silence_behind_the_voice_moves_little(encoder, audio):
    units = encoder.encode(audio)
    longer = encoder.encode(torch.cat([audio, torch.zeros(16000)]))[:, : units.shape[1]]
    assert (longer - units)[:, :100].abs().mean() < 0.1 * units.abs().mean()


def test_chunks_leave_no_trace(encoder, audio, monkeypatch):
    units = encoder.encode(audio)
    monkeypatch.setattr(ppg, "_CHUNK", 40)
    torch.testing.assert_close(encoder.encode(audio), units, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_samples", [320, 4000, 16000, 16161])
def test_the_whole_is_one_module_for_a_graph(encoder, audio, n_samples):
    clip = audio[:n_samples]
    torch.testing.assert_close(ppg.Wave(encoder)(clip[None, None])[0].T, encoder.encode(clip))


def test_half_precision_changes_little(encoder, audio, tmp_path):
    half = ppg.PpgEncoder(weights=write(tmp_path / "w.safetensors"), dtype=torch.bfloat16)
    units = encoder.encode(audio)
    found = half.encode(audio)
    assert found.dtype == torch.float32
    assert (found - units).abs().mean() < 0.1 * units.abs().mean()


@pytest.mark.parametrize("trouble", ["missing", "of another version"])
def test_the_demo_falls_back_to_mfcc_and_says_why(trouble, monkeypatch, tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    if trouble == "of another version":
        write(path, version=ppg.VERSION + 1)
    monkeypatch.setattr(ppg, "WEIGHTS", path)
    assert demo._encoder() == "mfcc"
    said = capsys.readouterr().out
    assert said.startswith("speech encoder: mfcc") and str(path) in said and said.count("\n") == 1


def test_the_demo_takes_the_starter(capsys):
    assert demo._encoder() == "ppg-starter"
    assert capsys.readouterr().out == ""
