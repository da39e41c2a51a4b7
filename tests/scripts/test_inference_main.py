"""The command: from names to files, several at a time, and every mistake on one line."""

import re
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile

import inference_main
from modules.common.files import write_json
from modules.common.progress import ProgressEvent
from modules.config import read_json
from tests.inference.tiny import RATE, write_diffusion, write_model
from tests.support.golden_cases import voice


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "logs" / "44k")
    (tmp_path / "raw").mkdir()
    soundfile.write("raw/my song.wav", voice(0.3, 22050), 22050)
    soundfile.write("raw/歌.flac", voice(0.3, RATE), RATE)
    return tmp_path


def run(*argv: str) -> int:
    return inference_main.main(["-m", "logs/44k/G_8.pth", "-d", "cpu", *argv])


def results(project) -> list[str]:
    folder = project / "results"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_songs_times_voices_with_a_key_each(project, capsys):
    assert run("-n", "my song", "歌.flac", "-t", "12", "-3", "-s", "anna", "1", "anna") == 0
    assert results(project) == [
        "my song_12key_anna_glow_swift-f0.flac",
        "my song_12key_花子_glow_swift-f0.flac",
        "歌_-3key_anna_glow_swift-f0.flac",
        "歌_-3key_花子_glow_swift-f0.flac",
    ]
    shown = capsys.readouterr()
    assert shown.out.count("0.3 s, real-time factor") == 4
    assert soundfile.info(project / "results/my song_12key_anna_glow_swift-f0.flac").frames == round(
        0.3 * RATE
    )


def test_the_configuration_beside_the_model_names_the_voice(project, capsys):
    model, config = write_model(project / "logs/bob", vol_embedding=True)
    write_json(config, {**read_json(config), "spk": {"bob": 0, "eve": 1}})
    assert inference_main.main(["-m", str(model), "-d", "cpu", "-n", "歌", "-s", "0"]) == 0
    (name,) = results(project)
    assert name == "歌_0key_bob_glow_swift-f0.flac"
    assert "speaker bob" in soundfile.SoundFile(project / "results" / name).comment
    config.unlink()
    assert inference_main.main(["-m", str(model), "-d", "cpu", "-n", "歌", "-s", "0"]) == 2
    assert (
        f"there is no config.json beside {model}; name its configuration with -c" in capsys.readouterr().err
    )
    write_diffusion(project / "logs/44k/diffusion")
    diffusion, config = write_diffusion(project / "logs/bob/diffusion", {"bob": 0})
    alone = ["-od", "-dm", str(diffusion), "-d", "cpu", "-n", "歌"]
    assert inference_main.main(alone) == 0
    assert "歌_0key_bob_diff_swift-f0.flac" in results(project)
    config.unlink()
    assert inference_main.main(alone) == 2
    assert "there is no config.yaml beside" in capsys.readouterr().err


def test_a_configuration_without_names_says_what_to_give(project, capsys):
    path = project / "logs/44k/config.json"
    write_json(path, {**read_json(path), "spk": {}})
    for argv in ([], ["-s", "anna"]):
        assert run("-n", "歌", *argv) == 2
        error = capsys.readouterr().err
        assert "no names, for its configuration has none (section spk); give an id, 0 to 1" in error
    assert run("-n", "歌", "-s", "1") == 0


def test_a_song_outside_the_trained_range_is_told_the_key_that_fits(project, capsys):
    assert run("-n", "歌", "-t", "-24", "-s", "anna", "1") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  "))
    assert re.fullmatch(
        r"  the song lies at \d+–\d+ Hz with -t -24, but anna was trained on 275–600 Hz; "
        r"-t (0|12) would fit better",
        line,
    )


def test_progress_for_programs(project, capsys, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PROGRESS", "json")
    assert run("-n", "歌", "-s", "anna") == 0
    events = [ProgressEvent.from_line(line) for line in capsys.readouterr().err.splitlines()]
    assert [events[0].stage, events[-1].stage] == ["loading the voice model", "歌.flac"]
    assert (events[-1].total, events[-1].unit) == (1, "s")


def test_automatic_pitch_formats_and_the_published_spelling(project, caplog):
    options = ["-a", "-t", "5", "-wf", "mp3", "-f0p", "dio", "--noice_scale", "0.1"]
    assert run("-n", str(project / "raw" / "歌"), "-s", "0", *options) == 0
    assert results(project) == ["歌_auto_anna_glow_dio_ns0.1.mp3"]
    assert "-t has no effect" in caplog.text


def test_one_bad_song_or_result_does_not_stop_the_others(project, capsys):
    (project / "raw" / "bad.wav").write_text("words")
    (project / "results/my song_0key_anna_glow_swift-f0.flac").mkdir(parents=True)
    assert run("-n", "bad", "my song", "歌", "-s", "anna") == 2
    assert "歌_0key_anna_glow_swift-f0.flac" in results(project) and len(results(project)) == 2
    shown = capsys.readouterr().err
    assert "bad.wav cannot be read as sound" in shown and "my song.wav: " in shown
    assert "2 of 3 conversions failed" in shown and "Traceback" not in shown


def test_mistakes_are_one_line_before_anything_runs(project, capsys):
    assert "(0.75)" in inference_main.get_parser().format_help()  # defaults are shown
    soundfile.write("歌.wav", np.zeros(10), RATE)
    soundfile.write("raw/MY SONG.flac", np.zeros(10), RATE)
    song, voice = ["-n", "歌"], ["-s", "anna"]
    for argv, message in [
        ([*song, "nothing", *voice], "no song 'nothing' in raw/"),
        (voice, "raw/ holds: MY SONG.flac, my song.wav, 歌.flac"),
        (song, "-s; the model knows: anna (0), 花子 (1)"),
        ([*song, "-s", "bob"], "no speaker 'bob'"),
        ([*song, "-s", "2"], "no speaker '2'"),
        ([*song, *voice, "-t", "1", "2"], "2 keys for 1 song"),
        ([*song, *voice, "-wf", "m4a"], "cannot write 'm4a'"),
        ([*song, *voice, "-cl", "1", "-lg", "2"], "does not fit"),
        ([*song, *voice, "-m", "G_1.pth"], "no model G_1.pth"),
        ([*song, *voice, "-m", "logs/44k/G_9.pth"], "holds: G_8.pth"),
        ([*song, *voice, "-c", "config.json"], "config.json does not exist"),
        ([*song, *voice, "-d", "tpu"], "device 'tpu'"),
        ([*song, *voice, "--scale", "H:maj"], "--scale must be a key as C:maj"),
        ([*song, *voice, "--f0", "none.csv"], "--f0: there is no file none.csv"),
        # on Windows and macOS the second would replace the first
        (
            ["-n", "my song.wav", "MY SONG.flac", *voice],
            "become results/my song_0key_anna_glow_swift-f0.flac",
        ),
        ([*song, "raw/../歌.wav", *voice], "both become results/歌_0key_anna_glow_swift-f0.flac"),
    ]:
        assert run(*argv) == 2
        shown = capsys.readouterr().err
        assert message in shown and shown.count("\n") == 1
    assert results(project) == []


def test_a_song_is_sung_with_the_pitch_of_a_file_and_wrong_ones_are_one_line(project, capsys):
    assert run("-n", "歌", "-s", "anna", "1", "--write_f0", "pitch/") == 0
    assert run("-n", "歌", "-s", "anna", "--f0", "pitch", "-t", "2") == 0
    assert "歌_2key_anna_glow_swift-f0_f0.flac" in results(project)
    (project / "pitch/歌.f0.csv").write_text("0,220,1\n0.01,high,1\n")
    capsys.readouterr()
    assert run("-n", "歌", "-s", "anna", "--f0", "pitch/歌.f0.csv", "-t", "3") == 2
    error = capsys.readouterr().err.splitlines()
    assert "歌.f0.csv, line 2: '0.01,high,1' is not: time in s" in error[-2]
    assert len(results(project)) == 3


def test_a_preset_is_saved_and_flags_beside_it_win(project, capsys):
    assert run("-n", "歌", "-s", "anna", "-t", "3", "-ns", "0.2", "-mu", "--save_preset", "low") == 0
    assert "preset: configs/presets/low.json" in capsys.readouterr().out
    given = ["-d", "cpu", "-n", "my song", "--preset", "low"]
    assert inference_main.main(given) == 0
    assert inference_main.main([*given, "-t", "-12", "-ns", "0.1"]) == 0
    assert {name for name in results(project) if name.startswith("my")} == {
        "my song_3key_anna_glow_swift-f0_ns0.2_mu.flac",
        "my song_-12key_anna_glow_swift-f0_ns0.1_mu.flac",
    }
    assert inference_main.main(["-d", "cpu", "-n", "歌", "--preset", "high"]) == 2
    assert "there is no preset 'high' in configs/presets; there are: low" in capsys.readouterr().err


def test_a_key_that_is_chosen_is_printed_with_its_reason(project, capsys):
    assert run("-n", "歌", "-s", "anna", "-t", "auto", "--autotune", "0.5", "--scale", "C:maj") == 0
    assert results(project) == ["歌_autokey_anna_glow_swift-f0_autotune0.5_Cmaj.flac"]
    assert re.search(r"key [+-]\d+: the song lies at .* Hz around \d+, anna was", capsys.readouterr().out)


def test_the_only_speaker_needs_no_name_and_interrupting_leaves_no_half_file(project, monkeypatch, capsys):
    path = project / "logs/44k/config.json"
    write_json(path, {**read_json(path), "spk": {"anna": 0}})
    with monkeypatch.context() as patch:
        patch.setattr("inference.stitch.Stitcher.push", Mock(side_effect=KeyboardInterrupt))
        assert run("-n", "歌") == 130
    assert results(project) == [] and "interrupted" in capsys.readouterr().err
    assert run("-n", "歌") == 0
    assert results(project) == ["歌_0key_anna_glow_swift-f0.flac"]
