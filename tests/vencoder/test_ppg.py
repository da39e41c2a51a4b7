"""The starter encoder: its file, the timing of its units, and its invariances."""

import re

import pytest
import torch
from safetensors.torch import save_file

import demo
from modules.common.errors import CheckpointError, MissingWeightsError
from tests.support.golden_cases import voice
from vencoder import ENCODERS, ppg

AUDIO = torch.from_numpy(voice(3.0, 16000))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    weights = write(tmp_path_factory.mktemp("weights") / "weights.safetensors")
    return ppg.PpgEncoder("ppg-starter", weights=weights)


def write(path, version=ppg.VERSION, **network):
    """Write a network with random weights, in half precision."""
    torch.manual_seed(0)
    state = {name: tensor.half() for name, tensor in ppg.PpgNetwork(**network).state_dict().items()}
    save_file(state | {"version": torch.tensor(version)}, path)
    return path


def test_the_file_in_the_repository_is_small_and_independent_of_the_weights_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    assert ppg.WEIGHTS.stat().st_size < 8e6
    encoder = ENCODERS.build("ppg-starter", "cpu")
    n_parameters = sum(parameter.numel() for parameter in encoder.network.parameters())
    assert 2e6 <= n_parameters <= 4e6
    assert encoder.ssl_dim == ENCODERS["ppg-starter"].ssl_dim


def test_unusable_files_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "w.safetensors"
    monkeypatch.setattr(ppg, "WEIGHTS", path)
    with pytest.raises(MissingWeightsError, match=r"w\.safetensors is missing.*make starter"):
        ENCODERS.build("ppg-starter", "cpu")
    for content, message in (
        ({"version": ppg.VERSION + 1}, f"{re.escape(str(path))} holds version {ppg.VERSION + 1}"),
        ({"width": 64}, "its tensors differ"),
        (None, "does not hold weights of ppg-starter"),
    ):
        write(path, **content) if content else save_file({"some.weight": torch.zeros(3)}, path)
        with pytest.raises(CheckpointError, match=message):
            ppg.PpgEncoder("ppg-starter", weights=path)


def test_a_unit_is_in_the_middle_of_its_receptive_field(encoder):
    network, spectrum = encoder.network, encoder.spectrum
    n_units, unit = 200, 100
    wave = (1e-2 * torch.randn(320 * n_units)).requires_grad_()
    frames = (spectrum(ppg.pad_frames(wave)[None]) + 1e-3).log()
    network(frames)[0, unit].square().sum().backward()  # LayerNorm makes the sum itself 0
    samples = wave.grad.abs().nonzero()[:, 0]
    first, last = int(samples[0]), int(samples[-1])
    assert abs((first + last) / 2 - (unit + 0.5) * 320) <= 80
    assert (last - first) / 320 / 2 < ppg._REACH


def test_loudness_has_no_influence_silence_little_and_graphs_and_chunks_leave_no_trace(encoder, monkeypatch):
    units = encoder.encode(AUDIO)
    torch.testing.assert_close(encoder.encode(0.1 * AUDIO), units, rtol=0.02, atol=0.02)
    longer = encoder.encode(torch.cat([AUDIO, torch.zeros(16000)]))[:, : units.shape[1]]
    assert (longer - units)[:, :100].abs().mean() < 0.1 * units.abs().mean()
    for clip in (AUDIO[:320], AUDIO[:16161]):
        torch.testing.assert_close(ppg.PpgGraph(encoder)(clip[None, None])[0].T, encoder.encode(clip))
    monkeypatch.setattr(ppg, "_CHUNK", 40)
    torch.testing.assert_close(encoder.encode(AUDIO), units, rtol=1e-4, atol=1e-4)


def test_the_demo_takes_the_starter_or_falls_back_to_mfcc_and_says_why(monkeypatch, tmp_path, capsys):
    assert demo._encoder() == "ppg-starter"
    assert capsys.readouterr().out == ""
    path = tmp_path / "w.safetensors"
    monkeypatch.setattr(ppg, "WEIGHTS", path)
    for _ in ("missing", "of another version"):
        assert demo._encoder() == "mfcc"
        said = capsys.readouterr().out
        assert said.startswith("speech encoder: mfcc") and str(path) in said and said.count("\n") == 1
        write(path, version=ppg.VERSION + 1)
