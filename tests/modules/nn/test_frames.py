import pytest
import torch
import torch.nn.functional as F

from modules.nn.frames import ChannelNorm, Dropout, FrameConv, convolve, store_innermost


@pytest.mark.parametrize("frames", [1, 9])
@pytest.mark.parametrize(("size", "groups"), [(1, 1), (3, 1), (5, 2), (1, 2)])
@pytest.mark.parametrize("half", [False, True])
def test_a_convolution_and_its_gradients_are_torchs(frames, size, groups, half):
    torch.manual_seed(0)
    conv, x = FrameConv(4, 6, size, padding=size // 2, groups=groups), torch.randn(2, frames, 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = conv(x)
        want = F.conv1d(x.mT, conv.weight, conv.bias, padding=size // 2, groups=groups).mT
    assert found.dtype == want.dtype and found.is_contiguous()
    bound = {"rtol": 0.02, "atol": 0.02} if half else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(found, want, **bound)
    parameters = [conv.weight, conv.bias]
    gradients = [torch.autograd.grad(y.float().square().sum(), parameters) for y in (found, want)]
    torch.testing.assert_close(*gradients, rtol=0.02 if half else 1e-5, atol=0.05 if half else 1e-5)


def test_a_convolution_follows_its_weights_format():
    x, weight = torch.randn(1, 5, 4).double(), torch.randn(6, 4, 3).double()
    assert convolve(x, weight, None, 1).dtype == torch.float64


@pytest.mark.parametrize("size", [1, 3])
def test_kernels_stored_innermost_are_the_same_and_read_without_a_copy(size):
    conv, x = FrameConv(4, 6, size, padding=size // 2), torch.randn(2, 9, 4)
    before, want = conv.weight.detach().clone(), conv(x)
    store_innermost(conv)
    kernels = conv.weight.unsqueeze(2).to(memory_format=torch.channels_last)
    assert kernels.data_ptr() == conv.weight.data_ptr()
    torch.testing.assert_close(conv.weight.detach(), before, rtol=0, atol=0)
    torch.testing.assert_close(conv(x), want)


def test_channel_norm_is_of_every_frame():
    x = torch.randn(2, 5, 8) * 3 + 1
    found = ChannelNorm(8)(x)
    torch.testing.assert_close(
        found, (x - x.mean(2, True)) / (x.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    )


def test_dropout_keeps_the_mean_and_follows_torchs_seed():
    drop, x = Dropout(0.1), torch.ones(3, 101, 331)  # not a multiple of the numbers drawn at once
    torch.manual_seed(0)
    first = drop(x)
    assert first.unique().tolist() == [0, pytest.approx(1 / 0.9, rel=1e-3)]
    assert first.mean().item() == pytest.approx(1, abs=5e-3)  # 5 deviations
    assert (first == 0).float().mean((0, 2)).std() < 0.02  # nowhere more than elsewhere
    other = drop(x)
    torch.manual_seed(0)
    assert torch.equal(drop(x), first) and not torch.equal(other, first)
    assert torch.equal(drop.eval()(x), x) and torch.equal(Dropout(0.0)(x), x)
    assert not Dropout(1.0)(x).any()


def test_the_gradient_of_dropout_is_its_mask():
    x = torch.randn(50, 7, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(y == 0, 0.0, 2.0))
