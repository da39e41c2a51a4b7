"""The recipe of the starter kit, as far as it needs no synthesizer."""

import numpy as np
import pytest
import torch

from modules.common.errors import ConfigError
from tools.starter import align, kokoro
from tools.starter.augment import contrast, crop, disturb
from tools.starter.base import CLIP, EDGE, extend_bandwidth, joined, voices
from tools.starter.copies import MOST, copies, kind_of
from tools.starter.phones import INDEX, UNKNOWN, of_arpabet, of_espeak, per_unit
from tools.starter.train import HELD, SHARES, reverse_gradient


def test_units_have_the_class_at_their_middle_whatever_program_named_it():
    found = per_unit(np.array([0.02, 0.05]), np.array([5, 7]), 4)
    assert found.tolist() == [5, 7, INDEX["sil"], INDEX["sil"]]  # middles at 10, 30, 50 and 70 ms
    assert of_espeak("tS") == of_arpabet("CH") == INDEX["ch"]
    assert of_espeak("what is this") == UNKNOWN and of_arpabet("pau") == INDEX["sil"]


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
    names = ("kokoro-001", "en_US_f_Allison", "es_MX_f_Allison", "flite-slt", "espeak-Alex")
    assert [kind_of(name) for name in names] == list(MOST)
    assert all(kind_of(name) == "kokoro" for name in HELD)
    for name in ("espeak-Alex", "flite-slt", *HELD, "kokoro-007", "en_US_f_Allison"):
        (tmp_path / name).mkdir()
    assert [path.name for path in voices(tmp_path)] == ["en_US_f_Allison", "kokoro-007"]
    with pytest.raises(ConfigError, match="run the steps align and kokoro first"):
        voices(tmp_path / "nowhere")


def test_voices_are_interpolated(tmp_path):
    for number, name in enumerate(("af_one", "bm_two", "zf_three")):
        np.full((510, 256), float(number), np.float32).tofile(tmp_path / f"{name}.bin")
    styles = kokoro.find_styles(tmp_path)
    for seed in range(20):
        voice = kokoro.KokoroVoice.between(styles, np.random.default_rng(seed))
        assert voice.styles.shape == (510, 256) and voice.styles.dtype == np.float32
        assert abs(voice.styles[0, 0] - float(voice.british)) <= 1.0  # nearer to the English one
    with pytest.raises(ConfigError, match="npm pack kokoro-js"):
        kokoro.find_styles(tmp_path / "nowhere")


def test_sentences_consist_of_plain_words(tmp_path, monkeypatch):
    for topic in kokoro.TOPICS:
        (tmp_path / topic).write_text("", encoding="utf-8")
    text = (
        'A rolling stone gathers\nmore moss.\n\t\t-- Somebody, "Quotes"\n%\nNo 3 of these.\n%\nToo short.\n'
    )
    (tmp_path / "wisdom").write_text(text, encoding="utf-8")
    monkeypatch.setattr(kokoro, "FORTUNES", tmp_path)
    assert kokoro.sentences() == ["A rolling stone gathers more moss."]
    monkeypatch.setattr(kokoro, "FORTUNES", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="apt-get install fortunes"):
        kokoro.sentences()


def test_a_link_is_not_another_voice(tmp_path, monkeypatch):
    voice = tmp_path / "sounds" / "en_US_f_Somebody"
    voice.mkdir(parents=True)
    (voice / "hello.g722").write_bytes(b"")
    (tmp_path / "sounds" / "en").symlink_to(voice)
    (tmp_path / "texts").write_text(";comment\nhello: hello\n", encoding="utf-8")
    monkeypatch.setattr(align, "SOUNDS", tmp_path / "sounds")
    monkeypatch.setattr(align, "_decoded", lambda path: np.zeros(16000, np.float32))
    monkeypatch.setattr(align, "aligned", lambda audio, text: (np.array([0.5]), np.array([INDEX["hh"]])))
    assert align.main([str(tmp_path / "work"), "--transcripts", str(tmp_path / "texts")]) == 0
    made = sorted(path.name for path in (tmp_path / "work" / "speech").rglob("*.npy"))
    assert made == ["hello.npy"]


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
