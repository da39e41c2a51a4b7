"""The recipe of the starter kit, as far as it needs no synthesizer."""

import numpy as np
import pytest

from modules.common.errors import ConfigError
from tools.starter.base import CLIP, EDGE, extend_bandwidth, joined, voices


def test_the_base_model_hears_natural_voices(tmp_path):
    for name in ("espeak-en-Alex", "flite-en-slt", "held-zh-000", "kokoro-en-007", "asterisk-en-f_Allison"):
        (tmp_path / name).mkdir()
    assert [path.name for path in voices(tmp_path)] == ["asterisk-en-f_Allison", "kokoro-en-007"]
    with pytest.raises(ConfigError, match="run the steps recordings and kokoro first"):
        voices(tmp_path / "nowhere")


def test_prompts_are_joined_until_there_is_enough():
    clips = [np.full(48000, number, np.float32) for number in range(30)]  # 3 s each
    pieces = list(joined(clips, 33))
    assert [len(piece) / 16000 for piece in pieces] == [12, 12, 9]
    assert np.array_equal(np.concatenate(pieces), np.concatenate(clips[:11]))
    assert [len(piece) for piece in joined(clips[:1], 33)] == [48000] and CLIP > 3


def test_the_band_above_is_a_copy_of_the_highest_octave():
    audio = np.sin(2 * np.pi * 5000 * np.arange(32000) / 16000).astype(np.float32)
    for gains in ([-6.0], [-6.0, -18.0]):
        wide = extend_bandwidth(audio, gains)
        assert len(wide) == 88200
        level = np.abs(np.fft.rfft(wide[22050:66150] * np.hanning(44100))) / 11025  # a bin is 1 Hz
        copies = [20 * np.log10(level[5000 + 3800 * number]) for number in (1, 2, 3)]
        assert copies[: len(gains)] == pytest.approx(gains, abs=0.5)
        assert max(copies[len(gains) :]) < -60 and level[5000] == pytest.approx(1, abs=0.05)
    assert EDGE > 5000
