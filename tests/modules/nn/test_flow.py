import pytest
import torch

from modules.config import ModelConfig
from modules.nn.flow import ActNorm, Flow, InvConvNear
from modules.nn.masks import length_mask
from modules.nn.quarters import from_quarters, to_quarters

SIZES = {
    "inter_channels": 4,
    "hidden_channels": 6,
    "n_flow_block_layer": 2,
    "n_flow_layer": 2,
    "gin_channels": 3,
}


def flow64(n_sqz=2, **changes):
    """A small float64 flow whose every step does something."""
    torch.manual_seed(0)
    flow = Flow(ModelConfig(**SIZES | changes, n_sqz=n_sqz)).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for step in flow.flows:
        if isinstance(step, InvConvNear):
            step.weight.data += torch.eye(4)
    return flow


@pytest.mark.parametrize("n_sqz", [1, 2, 4])
@pytest.mark.parametrize("changes", [{}, {"flow_share_parameter": True}, {"use_depthwise_conv": True}])
@torch.no_grad()
def test_the_flow_inverts(n_sqz, changes):
    flow = flow64(n_sqz, **changes)
    for tracks in (1, 12):
        x, g = torch.randn(2, 4, 12).double(), torch.randn(2, 3, tracks).double()
        mask = length_mask(torch.tensor([12, 8]), 12).double()
        z, _ = flow(x, mask, g)
        assert not z[1, :, 8:].any() and not torch.allclose(z, x)
        # float64: only rounding is left, so the bound can be tight
        torch.testing.assert_close(flow.inverse(z, mask, g), x * mask, rtol=0, atol=1e-10)
        torch.testing.assert_close(flow(flow.inverse(x, mask, g), mask, g)[0], x * mask, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_sqz", [1, 2])
def test_the_log_determinant_is_that_of_the_jacobian(n_sqz):
    flow, g = flow64(n_sqz), torch.randn(1, 3, 1).double()
    x, mask = torch.randn(1, 4, 6).double(), length_mask(torch.tensor([4]), 6).double()
    real = torch.autograd.functional.jacobian(
        lambda part: flow(torch.cat((part, x[:, :, 4:]), 2), mask, g)[0][:, :, :4].flatten(),
        x[:, :, :4],
    )
    want = torch.linalg.slogdet(real.reshape(16, 16)).logabsdet
    torch.testing.assert_close(flow(x, mask, g)[1], want[None], rtol=1e-10, atol=1e-10)


def test_the_mixing_allows_a_negative_determinant_and_autocast():
    torch.manual_seed(0)
    step, x, mask = InvConvNear(), torch.randn(4, 1, 3, 2), torch.ones(1, 3, 1)
    assert torch.linalg.det(step.weight).item() == pytest.approx(1, abs=1e-5)  # starts as a rotation
    step.weight.data[0] *= -2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, logdet = step(x, mask, mask)
        back = step.inverse(z, mask, mask)
    assert z.dtype == logdet.dtype == torch.float32
    assert logdet.item() == pytest.approx(2 * 3 * torch.log(torch.tensor(2.0)).item(), abs=1e-5)
    torch.testing.assert_close(back, x, rtol=1e-5, atol=1e-5)


def test_actnorm_learns_mean_and_deviation_of_real_frames():
    torch.manual_seed(0)
    x, mask = (
        torch.randn(3, 8, 400) * torch.arange(1, 9)[:, None] - 7,
        length_mask(torch.tensor([400, 300, 1]), 400),
    )
    x = torch.where(mask > 0, x, 1e6)
    step = ActNorm(8)
    step.initialise(to_quarters(x, 1), mask.mT)
    z = from_quarters(step(to_quarters(x, 1), mask.mT, mask)[0], 1).mT[mask[:, 0] > 0]
    torch.testing.assert_close(z.mean(0), torch.zeros(8), rtol=0, atol=1e-4)
    # one frame in 701 is made up, so that a constant channel has a deviation
    torch.testing.assert_close(z.std(0), torch.ones(8), rtol=0, atol=2e-3)
    torch.testing.assert_close(step.logs.exp()[0, :, 0] * torch.arange(1, 9), torch.ones(8), rtol=0.1, atol=0)


@pytest.mark.parametrize("n_sqz", [1, 2, 4])
def test_quarters_hold_the_groups_that_are_mixed(n_sqz):
    x = torch.arange(2 * 8 * 12).view(2, 8, 12).float()
    quarters = to_quarters(x, n_sqz)
    assert torch.equal(from_quarters(quarters, n_sqz), x)
    channels = torch.stack([x[0, :, n] for n in range(n_sqz)]).flatten()  # of the first group of frames
    half = len(channels) // 2
    for k in range(len(channels) // 4):
        group = [channels[2 * k], channels[2 * k + 1], channels[half + 2 * k], channels[half + 2 * k + 1]]
        assert quarters[:, 0, 0, k].tolist() == group


def test_a_fresh_flow_only_rotates():
    torch.manual_seed(0)
    flow, x = Flow(ModelConfig(**SIZES | {"inter_channels": 8})), torch.randn(1, 8, 10)
    z, logdet = flow(x, torch.ones(1, 1, 10), torch.randn(1, 3, 1))
    torch.testing.assert_close(z.square().sum(), x.square().sum())
    torch.testing.assert_close(logdet, torch.zeros(1), rtol=0, atol=1e-4)
