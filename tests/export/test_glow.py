"""The modules that are traced, against the model they are made of; test_voice.py has the files."""

import pytest
import torch

from export.check import example
from export.glow import GlowGraph, MelodyGraph, glow_graph
from models import GlowSVC
from modules.config import ModelConfig

SIZES = {"n_flow_block_layer": 3, "n_flow_layer": 2, "gin_channels": 8, "ssl_dim": 12, "n_speakers": 3}
SIZES |= {"hidden_channels": 16, "filter_channels": 32, "n_layers": 1}


def build(**changes):
    torch.manual_seed(0)
    model = GlowSVC(ModelConfig(**{**SIZES, **changes})).eval().requires_grad_(False)
    for name, tensor in model.named_parameters():  # the couplings begin as the identity
        if (
            ".post." in name
            or name.startswith("prenet.proj.")
            or name.endswith(".logs")
            or ("flows" in name and name.endswith(".bias"))
        ):
            tensor.normal_(std=0.1)
    return model


def wanted(model, tracks, **options):
    given = {"speaker": torch.zeros(1, dtype=torch.int64), "volume": None, **tracks}
    tensors = [given[name] for name in ("units", "f0", "uv", "speaker", "volume", "noise")]
    return model.convert(*tensors, **options)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_sqz": 1, "n_speakers": 1},
        {"n_sqz": 4, "vol_embedding": True},
        {"flow_share_parameter": True, "use_crn_pre": True},
        {"prenet_channels": 24, "prenet_layers": 2},
        {"use_depthwise_conv": True, "use_automatic_f0_prediction": False},
    ],
    ids=str,
)
def test_the_mel_is_that_of_the_model_at_any_length(changes):
    model = build(**changes)
    graph = GlowGraph(model).eval()
    for n_frames in (1, 2, 3, 4, 13):
        tracks = example(glow_graph(model, 4), n_frames)
        mel, _ = wanted(model, tracks)
        # float32, summed in another order
        torch.testing.assert_close(graph(**tracks), mel, rtol=0, atol=2e-5)


@pytest.mark.parametrize("changes", [{}, {"n_speakers": 1}, {"vol_embedding": True}], ids=str)
def test_the_melody_is_that_of_the_model(changes):
    model = build(**changes)
    tracks = example(glow_graph(model, 4), 13)
    _, f0 = wanted(model, tracks, predict_f0=True)
    del tracks["noise"]
    torch.testing.assert_close(MelodyGraph(model).eval()(**tracks), f0, rtol=1e-5, atol=0)


def test_a_graph_holds_no_embeddings_the_model_stays_and_a_row_with_a_single_1_is_that_speaker():
    """Only the layers' outputs for each speaker, however wide the embedding is."""
    model = build(gin_channels=77)
    shapes = [tensor.shape for tensor in GlowGraph(model).model.flow.state_dict().values()]
    assert not any(77 in shape for shape in shapes)
    model = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    GlowGraph(model), MelodyGraph(model)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    model = build()
    tracks = example(glow_graph(model, 4), 7)
    tracks["speaker"] = torch.nn.functional.one_hot(torch.full((1, 7), 2), 3).float()
    mel, _ = wanted(model, {**tracks, "speaker": torch.tensor([2])})
    torch.testing.assert_close(GlowGraph(model).eval()(**tracks), mel, rtol=0, atol=2e-5)
