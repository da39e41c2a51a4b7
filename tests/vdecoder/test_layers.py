"""The convolutions in their fused form against torch's own."""

import copy

import pytest
import torch
from torch.nn import functional as F

from tests.support.golden_cases import load_case, signal
from vdecoder.generator import Generator, GeneratorConfig
from vdecoder.layers import Conv, Upsample, fold_all

BATCH, N_IN, N_OUT = 2, 12, 6


def fill(layer):
    """Give a layer random parameters; return its weight before folding."""
    layer.bias.normal_()
    layer.weight_v.normal_()
    layer.weight_g.uniform_(0.5, 1.0)
    return layer.weight_v * (layer.weight_g / layer.weight_v.norm(dim=(1, 2), keepdim=True))


def fuse(layer):
    layer.fold()
    layer.pack()
    if layer.packed is None:
        pytest.skip("oneDNN does not compute on this processor")


@pytest.mark.parametrize("length", [1, 2, 37])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 5), (11, 3)])
def test_fused_convolutions_are_those_of_torch(kernel_size, dilation, length):
    layer = Conv(N_IN, N_OUT, kernel_size, dilation)
    weight, bias = fill(layer), layer.bias.clone()
    fuse(layer)
    x, other = torch.randn(BATCH, N_IN, 1, length), torch.randn(BATCH, N_OUT, 1, length)
    wanted = F.conv1d(x[:, :, 0], weight, bias, padding=layer.reach, dilation=dilation)
    for got, expected in (
        (layer(x), wanted),
        (layer(x, slope=0.1), F.leaky_relu(wanted, 0.1)),
        (layer(x, plus=other), wanted + other[:, :, 0]),
        (layer(x, slope=0.1, plus=other), F.leaky_relu(wanted + other[:, :, 0], 0.1)),
    ):
        # float32 rounding of sums of up to 132 products
        torch.testing.assert_close(got[:, :, 0], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("kernel_size", "stride"), [(16, 8), (4, 2), (5, 3), (3, 1)])
def test_upsampling_is_a_transposed_convolution(kernel_size, stride):
    padding = (kernel_size - stride) // 2
    layer = Upsample(N_IN, N_OUT, kernel_size, stride, padding)
    weight, bias = fill(layer), layer.bias.clone()
    fuse(layer)
    for length in (1, 2, 37):
        x = torch.randn(BATCH, N_IN, 1, length)
        wanted = F.conv_transpose1d(x[:, :, 0], weight, bias, stride, padding)
        torch.testing.assert_close(layer(x)[:, :, 0], wanted, rtol=0, atol=2e-6)


def test_a_copy_is_not_packed_and_computes_the_same():
    """An ONNX graph is traced from a copy: it holds plain operators alone."""
    layer = Conv(N_IN, N_OUT, 3)
    fill(layer)
    fuse(layer)
    copied, x = copy.deepcopy(layer), torch.randn(1, N_IN, 1, 20)
    assert copied.packed is None and layer.packed is not None
    torch.testing.assert_close(copied(x), layer(x), rtol=0, atol=2e-6)


def test_half_precision_is_no_worse_for_the_fusing():
    case = load_case("nsf_hifigan")
    config = GeneratorConfig.read(case.manifest["config"]["reduced"], "")
    mel = torch.from_numpy(signal("fused.mel", (1, 16, 60)))
    excitation = torch.from_numpy(signal("fused.excitation", (1, 60 * 64), 0.1))

    def synthesize(dtype, packed):
        network = Generator(config)
        network.load_state_dict(case.state_dict())
        fold_all(network)
        network.in_precision(dtype)
        return (network if packed else copy.deepcopy(network))(mel, excitation)

    wanted = synthesize(torch.float32, True)
    fused, plain = ((synthesize(torch.bfloat16, packed) - wanted).norm() for packed in (True, False))
    assert fused < 1.1 * plain, "sums and activations are rounded once, not twice"
