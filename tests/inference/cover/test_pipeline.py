"""From a mix to its cover and its parts; what has not changed is not made again."""

import shutil
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import soundfile

from inference.conversion import PitchFiles
from inference.cover.cache import StageCache
from inference.cover.options import CoverOptions
from inference.cover.pipeline import CoverMaker
from inference.cover.voice import CoverVoice
from inference.pipeline import ConversionResult
from inference.pitch.files import read_f0, write_f0
from modules.common.errors import ConfigError
from tests.inference.cover.songs import decibels, sung, write_mix


class Identity:
    """A converter that gives back what it gets."""

    def __init__(self) -> None:
        self.keys: list[float] = []

    def convert(self, source, destination, speaker, key, progress, subtype, curve=None):
        shutil.copyfile(source, destination)
        self.keys.append(key)
        frames = soundfile.info(source).frames // 512
        f0 = np.full(frames, 220.0)
        return ConversionResult(destination, 1.0, 0.1, f0, np.ones(frames), None, (), f0)


class Studio:
    """Makes covers of one mix without converting; knows what has been made."""

    def __init__(self, options, folder) -> None:
        self.options, self.folder, self.mix = options, folder, write_mix(folder / "mix.wav")
        self.identity: Any = Identity()

    def __call__(self, key=0.0, song=None, **changes):
        settings = CoverOptions(**{"separator": "centre", "dry": True, **changes})
        voice = CoverVoice(self.options, lambda _: self.identity)
        maker = CoverMaker(voice, settings, StageCache(self.folder / "cache"))
        return maker.make(song or self.mix, self.folder / "results", "anna", key, "wav")

    @property
    def made(self) -> set[str]:
        return {path.name for path in (self.folder / "cache").iterdir()}


@pytest.fixture
def make(options, tmp_path):
    return Studio(options, tmp_path)


def samples(cover, name):
    return soundfile.read(cover.files[name], dtype="float32", always_2d=True)[0]


def test_without_a_conversion_the_cover_is_the_song(make, tmp_path):
    cover = make()
    song = soundfile.read(tmp_path / "mix.wav", dtype="float32")[0]
    made = samples(cover, "cover")
    scale = (made * song).sum() / np.square(song).sum()  # one gain keeps all parts below full scale
    assert decibels(made - scale * song) < decibels(made) - 60  # 16 bits give 90
    parts = sum(samples(cover, name) for name in ("acappella", "instrumental", "backing"))
    assert decibels(parts - made) < -80
    assert cover.folder.name == "mix_0key_anna_glow_pm_p0.1_cover" and cover.files["picture"].is_file()
    assert {path.name for path in cover.folder.iterdir()} == {
        *("cover.wav", "acappella.wav", "instrumental.wav", "backing.wav", "lead.wav", "vocals.wav"),
        "picture.png",
    }
    with soundfile.SoundFile(cover.files["cover"]) as file:
        assert "voice converted" in file.comment and file.channels == 2


def test_a_voice_beside_the_centre_stays_there(make, tmp_path):
    cover = make(song=write_mix(tmp_path / "left.wav", pan=(1.0, 0.6)), separator="none")
    left, right = np.square(samples(cover, "acappella")).sum(0)
    assert left > 1.5 * right


def test_a_changed_key_repeats_only_what_follows(make, caplog):
    make()
    before = make.made
    make()
    assert make.made == before and make.identity.keys == [0.0]
    make(key=12.0)
    added = {name.rpartition("-")[0] for name in make.made - before}
    assert added == {"convert-voice", "room-voice"} and make.identity.keys == [0.0, 12.0]
    make(vocal_level=3.0)
    assert make.identity.keys == [0.0, 12.0]


def test_levels_and_backing(make):
    cover = make(vocal_level=-6.0, instrumental_level=-60.0, backing_level=-60.0)
    made, voice = samples(cover, "cover"), samples(cover, "acappella")
    assert decibels(made - voice * 10 ** (-6 / 20)) < decibels(made) - 40  # the rest is 60 dB softer
    assert decibels(samples(make(backing="mute"), "backing")) < -100
    make(backing="convert", backing_speaker="花子")
    assert len(make.identity.keys) == 2


def test_a_stem_missing_from_the_cache_is_made_again(make, tmp_path):
    make()
    for path in (tmp_path / "cache").glob("*/lead.wav"):
        path.unlink()
    assert decibels(samples(make(), "acappella")) > -40


def test_settings_that_make_no_sense_name_their_flag():
    for settings, flag in (
        ({"separator": "magic"}, "separator"),
        ({"backing": "louder"}, "--backing"),
        ({"backing_speaker": "bob"}, "--backing_speaker"),
        ({"instrumental_key": 13.0}, "--instrumental_key"),
        ({"vocal_level": float("nan")}, "--vocal_level"),
    ):
        with pytest.raises(ConfigError, match=flag):
            CoverOptions(**settings)


@pytest.fixture
def convert(options, tmp_path):
    """Make the cover of a voice alone, of 110 to 220 Hz."""
    from inference.converter import Converter

    soundfile.write(tmp_path / "voice.wav", sung(2.0, 110.0), 44100, "FLOAT")  # mono
    voice = CoverVoice(replace(options, loudness_envelope_adjustment=0.0), Converter)
    maker = CoverMaker(voice, CoverOptions(dry=True, separator="none"), StageCache(tmp_path / "cache"))
    return partial(maker.make, tmp_path / "voice.wav", tmp_path / "results")


def test_the_octave_that_fits(convert):
    cover = convert("anna", "auto")  # trained on 275 to 600 Hz
    assert cover.choice.semitones == 12 and "trained on 275–600 Hz" in cover.choice.reason("anna")
    assert cover.folder.name.startswith("voice_12key_anna") and cover.advice.semitones == 16
    with pytest.raises(ConfigError, match="no f0_range for 花子"):
        convert("花子", "auto")


def test_a_pitch_that_is_given_is_sung(convert, tmp_path):
    plain = samples(convert("anna", pitch=PitchFiles(write_f0=tmp_path / "tracked.csv")), "acappella")
    frames = 2 * 44100 // 512
    tracked = read_f0(tmp_path / "tracked.csv", frames, 44100 / 512)
    assert 150 < np.median(tracked[tracked > 0]) < 170
    given = np.where(tracked > 0, 330.0, 0.0)
    write_f0(tmp_path / "given.csv", given, 44100 / 512)
    made = convert("anna", pitch=PitchFiles(f0=tmp_path / "given.csv", write_f0=tmp_path / "sung.csv"))
    np.testing.assert_allclose(read_f0(tmp_path / "sung.csv", frames, 44100 / 512), given, rtol=1e-6)
    assert decibels(samples(made, "acappella") - plain) > -60
    (tmp_path / "given.csv").write_text("0,loud\n1,220\n2,high\n")
    with pytest.raises(ConfigError, match=r"given.csv, line 3: '2,high' is not"):
        convert("anna", pitch=PitchFiles(f0=tmp_path / "given.csv"))


def test_a_real_conversion_keeps_the_melody(convert):
    cover = convert("anna")
    acappella = samples(cover, "acappella")
    assert len(acappella) == 2 * 44100 and cover.seconds == 2.0
    assert abs(decibels(acappella) - decibels(samples(cover, "lead"))) < 6
