"""Formants move, the pitch stays: compared with a singer whose tract is really that much shorter."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.converter import Converter
from inference.timbre.formant import PER_SEMITONE, shift_matrix
from modules.common.errors import ConfigError
from modules.config import DataConfig
from modules.dsp.mel import LogMel
from synthetic_voice import SINGERS, compose, sing
from tests.inference.tiny import RATE, convert, write_song, write_voice
from tests.support.golden_cases import voice

DATA = DataConfig()


def mel(audio):
    return LogMel(DATA)(torch.from_numpy(audio)[None])[0].numpy()


@pytest.mark.parametrize("semitones", [4.0, -4.0])
def test_a_stretched_mel_is_that_of_another_tract_at_the_same_pitch(semitones):
    score, singer = compose("noor", 2.5, 2), SINGERS["noor"]
    other = replace(singer, tract=singer.tract / 2 ** (semitones / 12))
    truth = sing(score, other, 2)
    plain = mel(sing(score, singer, 2).audio)
    shifted = shift_matrix(DATA, semitones) @ mel(sing(score.transposed(-semitones), singer, 2).audio)
    times = (np.arange(plain.shape[1]) + 0.5) * 512 / 44100
    voiced = truth.voiced_at(times)
    shifted -= PER_SEMITONE * semitones
    before, after = (np.abs(x - mel(truth.audio))[:, voiced].mean() for x in (plain, shifted))
    assert after < 0.7 * before


def test_no_shift_is_the_identity():
    np.testing.assert_allclose(shift_matrix(DATA, 0.0), np.eye(128), atol=1e-6)
    assert shift_matrix(DATA, 12.0).sum(1) == pytest.approx(np.ones(128))


def test_the_vocoder_keeps_the_pitch_and_another_mel_is_sung(tmp_path):
    options = write_voice(tmp_path / "voice")
    converter = Converter(replace(options, formant=3.0))
    heard = []
    synthesize = converter.vocoder.synthesize

    def listen(mel, f0, uv, *rest):
        heard.append((mel, f0))
        return synthesize(mel, f0, uv, *rest)

    converter.vocoder.synthesize = listen
    song = write_song(tmp_path / "song.wav", voice(0.6, RATE))
    for formant in (3.0, 0.0):
        converter.options = replace(options, formant=formant)
        converter.convert(song, tmp_path / "x.wav", "anna")
    (shifted, f0), (plain, expected) = heard
    torch.testing.assert_close(f0, expected, rtol=1e-5, atol=0)
    assert not torch.allclose(shifted, plain, atol=0.01)
    assert not np.array_equal(convert(options, song), convert(options, song, formant=3.0)) and np.array_equal(
        convert(options, song), convert(options, song, formant=0.0, protect=0.0)
    )


def test_a_model_that_chooses_the_pitch_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--formant needs the pitch that is sung"):
        replace(write_voice(tmp_path), formant=1.0, auto_predict_f0=True)
