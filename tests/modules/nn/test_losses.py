import pytest
import torch

from modules.nn.losses import lf0_loss, mle_loss
from modules.nn.masks import length_mask, replicate_pad


def test_mle_is_the_likelihood_of_a_gaussian_through_the_flow_in_float32():
    torch.manual_seed(0)
    mask = length_mask(torch.tensor([6, 4]), 6)
    z, m, logs = (torch.randn(2, 3, 6) * mask for _ in range(3))
    logdet = torch.tensor([1.5, -0.5])
    log_p = (torch.distributions.Normal(m, logs.exp()).log_prob(z) * mask).sum() + logdet.sum()
    torch.testing.assert_close(mle_loss(z, m, logs, logdet, mask), -log_p / (10 * 3))
    beyond = z + (1 - mask)  # the latent behind the end does not count
    torch.testing.assert_close(mle_loss(beyond, m, logs, logdet, mask), -log_p / (10 * 3))
    for dtype in (torch.float16, torch.bfloat16):
        z = torch.full((1, 128, 400), 3.0, dtype=dtype)
        zero = torch.zeros_like(z)
        loss = mle_loss(z, zero, zero, torch.zeros(1), torch.ones(1, 1, 400))
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(4.5 + 0.91894, abs=1e-3)  # float16 would overflow in the sum


def test_lf0_counts_real_frames_with_a_pitch():
    lf0 = torch.tensor([[[0.5, 0.6, 0.0, 0.7, 0.8]]])
    error = torch.tensor([[[0.1, -0.2, 9.0, 0.3, 9.0]]])
    mask = length_mask(torch.tensor([4]), 5)
    want = (0.01 + 0.04 + 0.09) / 3
    assert lf0_loss(lf0 + error, lf0, mask).item() == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("garbage", [0.0, float("nan")])
def test_replicate_pad_reads_real_frames_only(garbage):
    x = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, garbage]]])
    held = replicate_pad(x, torch.tensor([3, 2]), 4)
    assert held.tolist() == [[[1, 2, 3, 3]], [[4, 5, 5, 5]]]
    assert replicate_pad(x[:1], torch.tensor([0]), 2).shape == (1, 1, 2)
