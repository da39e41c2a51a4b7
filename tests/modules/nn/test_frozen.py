"""A network whose weights do not change any more gives what it gave."""

import pytest
import torch

from models import GlowSVC
from modules.config import ModelConfig
from modules.nn.flow import InvConvNear
from modules.nn.frozen import freeze
from modules.nn.wavenet import WeightNormConv1d

SIZES = {
    "hidden_channels": 16,
    "filter_channels": 24,
    "n_layers": 1,
    "n_flow_block_layer": 2,
    "n_flow_layer": 2,
    "gin_channels": 8,
    "n_speakers": 2,
    "ssl_dim": 12,
}


@pytest.mark.parametrize("more", [{}, {"use_depthwise_conv": True, "flow_share_parameter": True}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_model_converts_as_before_and_normalizes_nothing(more, dtype, monkeypatch):
    torch.manual_seed(0)
    model = GlowSVC(ModelConfig(**SIZES, **more)).eval()
    for name, parameter in model.named_parameters():
        if ".post." in name:  # else the flow is the identity
            torch.nn.init.normal_(parameter, std=0.1)
    track = torch.full((1, 37), 220.0)
    given = torch.randn(1, 12, 37), track, torch.ones_like(track), torch.tensor([1])
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        want, _ = model.infer(*given)
        freeze(model, dtype)
        monkeypatch.setattr(torch, "_weight_norm", None)
        monkeypatch.setattr(torch.linalg, "inv", None)
        found, _ = model.infer(*given)
    torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-5)
    kinds = {type(module) for module in model.modules()}
    assert InvConvNear in kinds and WeightNormConv1d not in kinds
