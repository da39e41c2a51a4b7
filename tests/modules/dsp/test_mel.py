import math

import librosa
import numpy as np
import pytest
import torch

from modules.common.errors import ConfigError
from modules.config import DataConfig
from modules.dsp.mcd import ORDER, mel_cepstra, mel_cepstral_distortion
from modules.dsp.mel import FLOOR, LogMel
from modules.dsp.mel_basis import mel_basis
from tests.support.golden_cases import load_case, voice

AUDIO = torch.from_numpy(voice(1.5, 44100)).unsqueeze(0)


def assert_same_mel(mel, golden):
    """Equal to 1e-4 of the log, and in the quietest bands to what rounding leaves there.

    A float32 transform carries an error of about half an epsilon of its loudest
    bin into all others, and another processor rounds it otherwise.
    """
    error = np.abs(np.exp(mel.astype(np.float64)) - np.exp(golden.astype(np.float64)))
    allowed = 1e-4 * np.exp(golden) + 0.5 * np.finfo(np.float32).eps * np.exp(golden.max())
    assert mel.shape == golden.shape and (error <= allowed).all(), (error / allowed).max()


def test_golden_mel():
    golden = load_case("mel")
    for name, key in (("nv_0", 0), ("nv_+5", 5), ("nv_-5", -5), ("nv_+2.5", 2.5)):
        mel = LogMel()(AUDIO, key)[0].numpy()
        assert_same_mel(mel if key == 0 else mel[:, ::3], golden[name])
    for key in (0, 5, -5):  # a clip shorter than its padding
        assert_same_mel(LogMel()(AUDIO[:, :700], key)[0].numpy(), golden[f"nv_short_{key:+d}"])
    for samples, *frames in golden["frame_counts"][:, :4].tolist():
        assert [LogMel()(torch.zeros(1, samples), key).shape[-1] for key in (0, 5, -5)] == frames


def test_golden_vocoder_mel():
    for name, samples, arguments in [
        ("mel", 26460, {}),
        ("mel_key_plus5", 26460, {"key_shift": 5}),
        ("mel_key_minus5", 26460, {"key_shift": -5}),
        ("mel_speed1.3", 26460, {"speed": 1.3}),
        ("mel_short", 1500, {}),
    ]:
        audio = torch.from_numpy(voice(0.6, 44100)[:samples]).unsqueeze(0)
        mel = LogMel()(audio, **arguments)[0].numpy()
        assert_same_mel(mel, load_case("nsf_hifigan_mel")[name])


def test_silence_is_the_floor_and_one_sample_is_enough():
    for samples in (1, 500, 5000):
        mel = LogMel()(torch.zeros(2, samples))
        assert mel.shape == (2, 128, max(1, samples // 512))
        assert torch.all(mel == math.log(FLOOR))


def test_settings_do_not_leak_between_extractors_and_a_window_longer_than_the_fft_is_refused():
    with pytest.raises(ConfigError, match=r"data.win_length 2048 is above data.filter_length, 1024"):
        LogMel(DataConfig(n_fft=1024))
    before = LogMel()(AUDIO)
    other = LogMel(DataConfig(sampling_rate=22050, n_mels=64, f_max=8000.0, hop_length=256))
    other(AUDIO, 3.0)
    assert other(AUDIO).shape == (1, 64, AUDIO.shape[1] // 256)
    assert torch.equal(LogMel()(AUDIO), before)


@pytest.mark.parametrize(
    "settings",
    [(44100, 2048, 128, 40.0, 16000.0), (16000, 512, 40, 0.0, 8000.0), (16000, 1024, 80, 1200.0, 7000.0)],
)
@pytest.mark.parametrize("equal_area", [True, False])
def test_the_filters_are_those_of_librosa(settings, equal_area):
    rate, n_fft, n_mels, low, high = settings
    wanted = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=low, fmax=high, norm="slaney" if equal_area else None
    )
    found = mel_basis(rate, n_fft, n_mels, low, high, equal_area)
    assert found.dtype == np.float32
    # float64 until the end, where librosa multiplies in float32: the last digit
    np.testing.assert_allclose(found, wanted, rtol=3e-7, atol=1e-9 * wanted.max())


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


def test_the_distortion_is_the_rms_distance_of_the_log_spectra_without_loudness_and_fine_ripples():
    mel, other = ripple(3, 0.5), ripple(3, 0.5) + ripple(5, 0.2)
    wanted = float((other - mel).square().mean().sqrt()) * 20 / math.log(10)
    assert mel_cepstral_distortion(mel, other) == pytest.approx(wanted, rel=1e-4)
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
