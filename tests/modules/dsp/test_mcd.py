import math

import pytest
import torch

from modules.dsp.mcd import ORDER, mel_cepstra, mel_cepstral_distortion


def ripple(k: int, amplitude: float) -> torch.Tensor:
    """A mel (128, 5) that is a cosine over the bands."""
    band = (torch.arange(128) + 0.5) * math.pi / 128
    return (amplitude * torch.cos(k * band))[:, None].expand(128, 5)


@pytest.mark.parametrize("k", [1, 7, ORDER])
def test_a_ripple_of_the_spectrum_is_one_coefficient(k):
    found = mel_cepstra(ripple(k, 0.5).double())
    wanted = torch.zeros(ORDER, 5, dtype=torch.double)
    wanted[k - 1] = 0.5
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)  # the ripple is made in float32


def test_the_distortion_is_the_rms_distance_of_the_log_spectra():
    mel, other = ripple(3, 0.5), ripple(3, 0.5) + ripple(5, 0.2)
    wanted = float((other - mel).square().mean().sqrt()) * 20 / math.log(10)
    assert mel_cepstral_distortion(mel, other) == pytest.approx(wanted, rel=1e-4)


def test_loudness_and_fine_ripples_do_not_count():
    mel = ripple(3, 0.5)
    assert mel_cepstral_distortion(mel, mel + 2.0) == pytest.approx(0, abs=1e-4)
    assert mel_cepstral_distortion(mel, mel + ripple(ORDER + 1, 1.0)) == pytest.approx(0, abs=1e-4)


def test_silent_frames_and_a_longer_end_do_not_count():
    mel = ripple(3, 0.5).clone()
    mel[:, 2] -= 5.0  # 43 dB
    other = torch.cat([mel, mel], 1)
    other[:, 2] = ripple(9, 4.0)[:, 0]
    other[:, 5:] = 3.0
    assert mel_cepstral_distortion(mel, other) == pytest.approx(0, abs=1e-6)
    assert math.isnan(mel_cepstral_distortion(mel[:, :0], mel))
