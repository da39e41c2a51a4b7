"""The published sizes, with random weights: minutes of tracing that the fast suite does not pay for."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks.vocoding import network
from export.check import compare, write
from export.glow import glow_graph, melody_graph
from export.vocoder import vocoder_graph
from models import GlowSVC
from modules.config import ModelConfig

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = GlowSVC(ModelConfig(n_speakers=3, vol_embedding=True)).eval().requires_grad_(False)
    for name, tensor in made.named_parameters():
        if ".post." in name:  # the couplings begin as the identity
            tensor.normal_(std=0.02)
    return made


@pytest.mark.parametrize("kind", [glow_graph, melody_graph])
def test_the_voice(model, kind, tmp_path):
    graph = kind(model, 512)
    path = write(graph, tmp_path, {})
    # a graph holds nothing twice, and of a speaker no more than what the layers make of it
    assert path.stat().st_size < 1.02 * sum(t.nbytes for t in model.state_dict().values())
    for result in compare(graph, path, (1, 87, 1292)):
        assert result.difference < 1e-4 * max(1, result.largest)


def test_the_vocoder(tmp_path):
    vocoder = SimpleNamespace(
        network=network(torch.float32),
        sampling_rate=44100,
        hop_length=512,
        n_mels=128,
        mel_scale=1.0,
    )
    graph = vocoder_graph(vocoder)
    path = write(graph, tmp_path, {})
    for result in compare(graph, path, (1, 87, 300)):
        assert result.difference < 1e-4
