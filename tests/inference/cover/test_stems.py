"""Taking a song apart: what the parts are, and that nothing is lost."""

import numpy as np
import pytest
import soundfile

from inference.cover import stems
from inference.cover.phrases import FRAME, PowerMeter, sample_gain, singing
from inference.cover.song import SONG, StereoFile, read_song
from modules.common.errors import AudioError
from separation.base import RATE
from tests.inference.cover.songs import chords, decibels, sung, write_mix


def silent(done, total):
    pass


def apart(folder, song, separator="centre"):
    for name in ("read", "vocals", "lead"):
        (folder / name).mkdir()
    read_song(song, folder / "read", silent)
    stems.separate(folder / "read", folder / "vocals", separator, "cpu", silent)
    stems.split_lead(folder / "read", folder / "vocals", folder / "lead", silent)
    return folder / "lead"


def test_the_lead_is_the_voice_at_its_place(tmp_path):
    mix = write_mix(tmp_path / "mix.wav")
    folder = apart(tmp_path, mix)
    pan, _ = stems.read_pans(folder)
    np.testing.assert_allclose(pan, 1.0, atol=0.05)
    lead, wanted = StereoFile(folder / stems.LEAD)[:][:, 0], sung(3.0)
    assert decibels(lead - wanted) < decibels(wanted) - 6


def test_a_voice_alone_is_not_separated(tmp_path, caplog):
    time = np.arange(2 * RATE) / RATE
    hummed = 0.1 * sum(np.sin(2 * np.pi * hz * time) for hz in (300, 600, 900))
    soundfile.write(tmp_path / "voice.wav", np.stack([hummed, hummed], 1), RATE, "FLOAT")
    folder = apart(tmp_path, tmp_path / "voice.wav")
    assert "a voice alone already" in caplog.text
    whole = StereoFile(tmp_path / "read" / SONG)[:]
    np.testing.assert_array_equal(StereoFile(tmp_path / "vocals" / stems.VOCALS)[:], whole)
    assert decibels(StereoFile(folder / stems.BACKING)[:]) < -100


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_is_silent_where_the_voice_rests_is_its_own(tmp_path, caplog, goes_on):
    time = np.arange(3 * RATE) / RATE
    sung = (time < 2)[:, None]
    hummed = 0.1 * sum(np.sin(2 * np.pi * hz * time) for hz in (300, 600, 900))[:, None]
    sides = 0.018 * np.random.default_rng(0).standard_normal((len(time), 1)) * [1, -1]  # -17 dB
    sound = hummed * sung + sides * (sung | goes_on)
    soundfile.write(tmp_path / "voice.wav", sound, RATE, "FLOAT")
    apart(tmp_path, tmp_path / "voice.wav")
    assert ("a voice alone already" in caplog.text) == (not goes_on)


def test_instruments_alone_are_refused(tmp_path):
    soundfile.write(tmp_path / "band.wav", chords(2.0), RATE, "FLOAT")
    with pytest.raises(AudioError, match="no voice"):
        apart(tmp_path, tmp_path / "band.wav")


def test_phrases_are_where_somebody_sings():
    audio, other = np.zeros((3 * RATE, 2), np.float32), np.full((3 * RATE, 2), 0.01, np.float32)
    audio[RATE : 2 * RATE] = 0.1
    audio[: RATE // 4] = 0.0005  # softer than the band by more than a voice ever is
    meters = PowerMeter(), PowerMeter()
    for meter, sound in zip(meters, (audio, other), strict=True):
        for start in range(0, len(sound), 10_007):
            meter.feed(sound[start : start + 10_007])
    gain = singing(meters[0].powers(), meters[1].powers())
    seconds = np.arange(len(gain)) * FRAME / RATE
    assert (gain[(seconds > 0.7) & (seconds < 2.3)] == 1).all()
    assert (gain[(seconds < 0.3) | (seconds > 2.7)] == 0).all()
    samples = sample_gain(gain, 0, len(audio))
    np.testing.assert_array_equal(samples[5000:9000], sample_gain(gain, 5000, 9000))
    assert np.abs(np.diff(samples[:, 0])).max() < 1e-3
