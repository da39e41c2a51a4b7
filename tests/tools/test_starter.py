"""The recipe of the starter kit, as far as it needs no synthesizer."""

import numpy as np
import pytest
import torch

from modules.common.errors import ConfigError
from tools.starter.augment import contrast, crop, disturb
from tools.starter.base import CLIP, EDGE, extend_bandwidth, joined, voices
from tools.starter.copies import MOST, copies, kind_of
from tools.starter.train import SHARES, reverse_gradient


def test_spectra_and_phones_move_together():
    """Each frame has its unit's class in its first band: at any tempo it must be that of the label."""
    rng = np.random.default_rng(0)
    phones = torch.arange(40).repeat_interleave(8)
    mels = phones.repeat_interleave(2)[None, :, None].expand(2, -1, 80).float()
    for _ in range(20):
        mel, here = crop(mels, phones, 100, rng)
        assert mel.shape == (2, 200, 80) and here.shape == (100,)
        classes = mel[0, :, 0].reshape(100, 2).mean(1)
        assert (classes - here).abs().max() < 1.0
    mel = disturb(torch.randn(4, 60, 80) - 5, rng)
    assert mel.shape == (4, 60, 80) and mel.isfinite().all()


def test_the_adversary_reverses_gradients_and_contrast_is_lowest_where_units_match():
    x = torch.ones(3, requires_grad=True)
    y = reverse_gradient(x, 0.5)
    (3 * y).sum().backward()
    assert torch.equal(x, y) and torch.equal(x.grad, torch.full((3,), -1.5))
    torch.manual_seed(0)
    units = torch.nn.functional.normalize(torch.randn(2, 50, 32), dim=-1)
    weight = torch.ones(2, 50)
    assert contrast(units, units, weight) < 0.1 * contrast(units, units.roll(20, 1), weight)


def test_copies_keep_the_timing():
    rng = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    audio = np.where(time < 0.5, 0.3 * np.sign(np.sin(2 * np.pi * 150 * time)), 0.0).astype(np.float32)
    made = copies(audio, rng, 1, 1)
    assert made.shape == (2, 16000) and np.abs(made).max() <= 1
    for copy in made:
        assert np.square(copy[:7000]).mean() > 100 * np.square(copy[10000:]).mean()


def test_every_kind_of_speaker_has_a_probability_and_the_base_model_natural_voices(tmp_path):
    assert SHARES.keys() == MOST.keys() and sum(SHARES.values()) == pytest.approx(1)
    names = (
        "kokoro-en-001", "held-en-000", "asterisk-en-f_Allison", "asterisk-es-f_Allison", "festvox-ru-nsh",
        "gcin-zh-ChuLo", "flite-en-slt", "espeak-fr-Alex",
    )  # fmt: skip
    assert [kind_of(name) for name in names] == list(MOST)
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
