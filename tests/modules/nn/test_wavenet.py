import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from modules.checkpoint import load_weights
from modules.nn.wavenet import DepthwiseSeparableConv1d, WaveNet, WeightNormConv1d


def as_torch(conv):
    """torch's weight norm with the same weights."""
    channels = conv.weight_v.size(1) * conv.groups
    size = conv.weight_v.size(2)
    plain = nn.Conv1d(channels, len(conv.bias), size, padding=size // 2, groups=conv.groups)
    normed = weight_norm(plain)
    normed.parametrizations.weight.original0.data = conv.weight_g.data
    normed.parametrizations.weight.original1.data = conv.weight_v.data
    normed.bias.data = conv.bias.data
    return normed


@pytest.mark.parametrize(("size", "groups"), [(5, 1), (1, 1), (5, 4)])
def test_weight_norm_is_torchs(size, groups):
    torch.manual_seed(0)
    conv, x = WeightNormConv1d(4, 8, size, groups), torch.randn(2, 4, 9)
    plain = nn.functional.conv1d(x, conv.weight_v, conv.bias, padding=size // 2, groups=groups)
    torch.testing.assert_close(conv(x.mT).mT, plain)  # before training
    conv.weight_g.data *= torch.rand(8, 1, 1) + 0.5
    other = as_torch(conv)
    torch.testing.assert_close(conv(x.mT).mT, other(x))
    conv(x.mT).square().sum().backward()
    other(x).square().sum().backward()
    torch.testing.assert_close(conv.weight_v.grad, other.parametrizations.weight.original1.grad)
    torch.testing.assert_close(conv.weight_g.grad, other.parametrizations.weight.original0.grad)


def test_published_and_torchs_names_load_and_published_names_are_saved():
    one, other = WeightNormConv1d(4, 8, 5), WeightNormConv1d(4, 8, 5)
    assert list(one.state_dict()) == ["bias", "weight_g", "weight_v"]
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.weight_v, other.weight_v)

    torch_state = as_torch(WeightNormConv1d(4, 8, 5)).state_dict()
    before = dict(torch_state)
    load_weights(nn.Sequential(other), {f"0.{name}": value for name, value in torch_state.items()}, "f")
    assert torch.equal(other.weight_v, torch_state["parametrizations.weight.original1"])
    assert torch.equal(other.weight_g, torch_state["parametrizations.weight.original0"])
    assert torch_state.keys() == before.keys()


@pytest.mark.parametrize("depthwise", [False, True])
@torch.no_grad()
def test_wavenet_is_gates_residuals_and_skips(depthwise):
    torch.manual_seed(0)
    net = WaveNet(6, 3, 4, depthwise)
    x, g = torch.randn(2, 10, 6), torch.randn(2, 1, 4)
    mask = (torch.arange(10) < torch.tensor([10, 7])[:, None]).float()[:, :, None]
    x, found = x * mask, net(x * mask, mask, g)
    condition, total = net.cond_layer(g), torch.zeros(2, 10, 6)
    for i in range(3):
        inner = net.in_layers[i](x) + condition[:, :, 12 * i : 12 * (i + 1)]
        out = net.res_skip_layers[i](inner[..., :6].tanh() * inner[..., 6:].sigmoid())
        total += out[..., -6:]
        if i < 2:
            x = (x + out[..., :6]) * mask
    torch.testing.assert_close(found, total)
    assert isinstance(net.in_layers[0], DepthwiseSeparableConv1d if depthwise else WeightNormConv1d)
