import math

import numpy as np
import pytest
import torch

from modules.common.errors import ConfigError
from modules.config import DataConfig
from modules.dsp.mel import FLOOR, LogMel
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


@pytest.mark.parametrize(
    ("name", "samples", "arguments"),
    [
        ("mel", 26460, {}),
        ("mel_key_plus5", 26460, {"key_shift": 5}),
        ("mel_key_minus5", 26460, {"key_shift": -5}),
        ("mel_speed1.3", 26460, {"speed": 1.3}),
        ("mel_short", 1500, {}),
    ],
)
def test_golden_vocoder_mel(name, samples, arguments):
    audio = torch.from_numpy(voice(0.6, 44100)[:samples]).unsqueeze(0)
    mel = LogMel()(audio, **arguments)[0].numpy()
    assert_same_mel(mel, load_case("nsf_hifigan_mel")[name])


def test_silence_is_the_floor_and_one_sample_is_enough():
    for samples in (1, 500, 5000):
        mel = LogMel()(torch.zeros(2, samples))
        assert mel.shape == (2, 128, max(1, samples // 512))
        assert torch.all(mel == math.log(FLOOR))


def test_a_window_longer_than_the_fft_is_refused():
    with pytest.raises(ConfigError, match=r"data.win_length 2048 is above data.filter_length, 1024"):
        LogMel(DataConfig(n_fft=1024))


def test_settings_do_not_leak_between_extractors():
    before = LogMel()(AUDIO)
    other = LogMel(DataConfig(sampling_rate=22050, n_mels=64, f_max=8000.0, hop_length=256))
    other(AUDIO, 3.0)
    assert other(AUDIO).shape == (1, 64, AUDIO.shape[1] // 256)
    assert torch.equal(LogMel()(AUDIO), before)
