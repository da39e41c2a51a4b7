from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.converter import Converter
from inference.realtime.engine import RealtimeEngine
from inference.realtime.settings import RealtimeSettings
from modules.checkpoint import read_checkpoint, write_checkpoint


@pytest.fixture(scope="session")
def steady(options, tmp_path_factory):
    """The tiny voice, as loud as speech and without the noise that makes its level jump."""
    folder = tmp_path_factory.mktemp("steady")
    state = read_checkpoint(options.model_path)
    for name, value in state["model"].items():
        if "flow" in name and name.endswith(("post.weight", "post.bias")):
            value.zero_()  # the flow keeps the mel of the encoder
        elif value.shape == (4, 4):
            value.copy_(torch.eye(4))
    state["model"]["enc_p.proj.weight"][:128] *= 0.3
    state["model"]["enc_p.proj.bias"][:128] = torch.linspace(-1, -11, 128)  # a voice's, more tone than noise
    write_checkpoint(folder / "G_8.pth", state)
    return replace(options, model_path=str(folder / "G_8.pth"), noise_scale=0.0)


@pytest.fixture(scope="session")
def converter(steady):
    return Converter(steady)


@pytest.fixture
def build(converter):
    """Build an engine on the tiny voice."""

    def build(key: float = 0.0, speaker="anna", **settings: float) -> RealtimeEngine:
        return RealtimeEngine(converter, RealtimeSettings(**settings), speaker, key)

    return build


@pytest.fixture
def noise():
    return np.random.default_rng(0)
