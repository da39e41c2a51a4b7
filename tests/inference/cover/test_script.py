"""The command, and its mistakes on one line each."""

import numpy as np
import pytest
import soundfile

import cover
from model_tools import instant
from modules.dsp.audio import write_audio
from tests.inference.cover.songs import chords, write_mix
from tests.inference.tiny import RATE, write_model
from tests.support.golden_cases import voice


@pytest.fixture
def run(script, tmp_path):
    write_model(tmp_path / "logs" / "44k")
    write_mix(tmp_path / "mix.wav", 2.0)

    def call(*arguments):
        model = ("-m", "logs/44k/G_8.pth", "-d", "cpu", "--dry", "--separator", "centre")
        return script(cover.main, *model, *arguments)

    return call


def test_a_song_becomes_a_cover_for_every_speaker(run, tmp_path):
    made = run("mix.wav", "-s", "anna", "1", "-wf", "ogg")
    assert made.code == 0 and made.out.count("real-time factor") == 2 and "separate" in made.out
    folders = sorted(path.name for path in (tmp_path / "results").glob("[!.]*"))
    assert folders == ["mix_0key_anna_glow_swift-f0_lea0_cover", "mix_0key_花子_glow_swift-f0_lea0_cover"]
    info = soundfile.info(tmp_path / "results" / folders[0] / "cover.ogg")
    assert (info.frames, info.channels) == (2 * RATE, 2)


def test_the_voice_of_a_recording(run, reference_base, tmp_path, monkeypatch, script):
    monkeypatch.setattr(instant, "STARTER", reference_base)
    write_audio(tmp_path / "eve.wav", voice(3.0, RATE, 220.0), RATE)
    settings = ("--dry", "--separator", "centre", "-d", "cpu")
    made = script(cover.main, "--reference", "eve.wav", "mix.wav", *settings)
    assert made.code == 0 and (tmp_path / "results" / "mix_0key_eve_glow_swift-f0_lea0_cover").is_dir()


def test_mistakes_are_one_line(run, tmp_path, script):  # noqa: F811
    assert run("nowhere", "-s", "anna").is_mistake("there is no song 'nowhere'")
    assert run("mix.wav").is_mistake("name the target speaker with -s; the model knows: ")
    assert run("mix.wav", "-s", "eve").is_mistake("eve")
    assert run("mix.wav", "-s", "anna", "--vocal_level", "99").is_mistake("--vocal_level must be between")
    assert run("mix.wav", "-s", "anna", "-wf", "xyz").is_mistake("-wf: cannot write")
    assert script(cover.main, "-m", "none.pth", "mix.wav").is_mistake("there is no voice model none.pth")
    soundfile.write(tmp_path / "band.wav", chords(2.0), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    assert run("band.wav", "-s", "anna").is_mistake("no voice is to be heard in this song")
    assert run("silent.wav", "-s", "anna").is_mistake("silent.wav is silent")
    (tmp_path / "text.mp3").write_text("not a song")
    assert run("text.mp3", "-s", "anna").is_mistake("cannot be read as sound")


def test_a_key_out_of_tune_with_the_instruments_is_said(run):
    assert "--instrumental_key moves both" in run("mix.wav", "-s", "anna", "-t", "3").err
    assert "--instrumental_key" not in run("mix.wav", "-s", "anna", "-t", "-12").err


def test_the_octave_that_fits_is_chosen_with_its_reason(run, tmp_path):
    made = run("mix.wav", "-s", "anna", "-t", "auto", "--write_f0", "lead.csv")
    assert made.code == 0 and "key +0: the song lies at" in made.out
    assert (tmp_path / "results" / "mix_0key_anna_glow_swift-f0_lea0_cover").is_dir()
    again = run("mix.wav", "-s", "anna", "--f0", "lead.csv")
    assert again.code == 0 and (tmp_path / "results" / "mix_0key_anna_glow_swift-f0_lea0_f0_cover").is_dir()
    assert run("mix.wav", "-s", "anna", "--f0", "none.csv").is_mistake("--f0: there is no file none.csv")
