import torch

from benchmarks.diffusion.published import published_denoiser
from tests.diffusion.tiny import MELS, mels, tiny


def test_the_baseline_computes_what_the_denoiser_does():
    decoder = tiny().decoder
    inputs = mels() / 10, torch.tensor([3.0, 30.0]), torch.randn(2, 6, 11)
    with torch.inference_mode():
        want, found = decoder.network(*inputs), published_denoiser(decoder, MELS)(*inputs)
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)  # float32, other sums
