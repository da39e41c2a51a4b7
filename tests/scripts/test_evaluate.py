"""The command from songs to a report, with a tiny model; and every mistake on one line."""

import json
from pathlib import Path

import pytest
import soundfile

import evaluate
from modules.dsp.audio import write_audio
from tests.inference.tiny import RATE, write_model
from tests.support.golden_cases import voice


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "logs" / "44k")
    write_model(tmp_path / "logs" / "旧")
    (tmp_path / "raw").mkdir()
    soundfile.write("raw/my song.wav", voice(0.6, 22050), 22050)
    soundfile.write("raw/歌.flac", voice(0.6, RATE), RATE)
    (tmp_path / "filelists").mkdir()
    write_audio("dataset/44k/anna/1 歌.wav", voice(0.6, RATE, 300.0), RATE)
    clips = ["dataset/44k/anna/1 歌.wav", "dataset/44k/anna/gone.wav", "dataset/44k/花子/1.wav"]
    (tmp_path / "filelists/val.txt").write_text("\n".join(clips), encoding="utf-8")
    return tmp_path


def run(*argv: str) -> int:
    return evaluate.main(["-d", "cpu", "-s", "anna", *argv])


def report(folder: str = "results/evaluation") -> dict:
    return json.loads(Path(folder, "report.json").read_text(encoding="utf-8"))


def test_two_models_two_songs_and_a_held_out_clip(project, capsys):
    models = ["logs/44k/G_8.pth", "logs/旧/G_8.pth"]
    assert run("-m", *models, "-n", "my song", "歌", "-t", "5", "-2", "-cl", "0.25") == 0
    out = capsys.readouterr().out
    assert "results/evaluation/report.html" in out and "ab.html: 2 pairs" in out
    assert "F0 within 50 cents" in out and "give recordings of the voice: --target" in out
    found = report()
    assert {model["name"]: model["path"] for model in found["models"]} == {
        "44k_G_8": models[0],
        "旧_G_8": models[1],
    }
    assert found["models"][0]["rank"] == found["models"][1]["rank"]  # it is the same model
    takes = [(take["song"], take["key"], take["held_out"], take["joins"]) for take in found["takes"][:3]]
    assert takes == [("my song.wav", 5, False, 2), ("歌.flac", -2, False, 2), ("1 歌.wav", 0, True, 2)]
    for take in found["takes"]:
        names = {"mcd"} if take["held_out"] else set(found["metrics"]) - {"mcd"}
        given = {name for name in names if not found["metrics"][name]["missing"]}
        assert take["scores"].keys() == given
        for sound in filter(None, take["sounds"].values()):
            info = soundfile.info(str(Path("results/evaluation", sound)))
            assert (info.frames, info.samplerate) == (round(0.6 * RATE), RATE)
    assert found["takes"][2]["scores"]["mcd"]["value"] > found["takes"][2]["scores"]["mcd"]["reference"] > 0
    assert found["settings"]["options"] == "-cl 0.25 -d cpu"


def test_one_model_without_held_out_clips(project, capsys, caplog):
    (project / "filelists/val.txt").unlink()
    config, unused = ["-c", "logs/44k/config.json"], ["-mu", "-lgr", "0.5"]
    assert run("-m", "logs/44k/G_8.pth", *config, "-n", "歌", "--output", "out 1", "-wf", "wav", *unused) == 0
    assert "-lgr has no effect without" in caplog.text and "-mu has no effect on the vocoder" in caplog.text
    found = report("out 1")
    assert found["settings"]["options"] == "-mu True -wf wav -d cpu"
    assert "run this where the model was trained" in found["metrics"]["mcd"]["missing"]
    assert found["takes"][0]["sounds"]["result"] == "audio/G_8/歌_0key_anna_glow_swift-f0_mu.wav"
    assert not Path("out 1/ab.html").exists() and "ab.html" not in capsys.readouterr().out
    (project / "filelists/val.txt").write_text("dataset/44k/花子/1.wav", encoding="utf-8")
    assert run("-m", "logs/44k/G_8.pth", "-n", "歌", "--output", "out 1") == 0
    assert "names no recording of anna that is here" in report("out 1")["metrics"]["mcd"]["missing"]
    for name in ("train", "val"):
        (project / f"filelists/{name}.txt").write_text("dataset/44k/anna/1 歌.wav", encoding="utf-8")
    assert run("-m", "logs/44k/G_8.pth", "-n", "歌", "--output", "out 1") == 0
    assert "the model is trained on every recording of anna" in report("out 1")["metrics"]["mcd"]["missing"]


def test_two_folders_for_a_blind_test(project, capsys):
    for folder in ("old", "new"):
        write_audio(f"{folder}/歌.wav", voice(0.5, RATE), RATE)
    question = ["--question", "Which is <nearer>?"]
    assert evaluate.main(["--ab", "old", "new", *question]) == 0
    assert capsys.readouterr().out == f"{Path('results/ab/ab.html')}: 1 pair to listen to\n"
    assert "Which is &lt;nearer&gt;?" in Path("results/ab/ab.html").read_text(encoding="utf-8")


def test_mistakes_are_one_line_and_leave_nothing(project, capsys):
    (project / "empty").mkdir()
    (project / "bad.wav").write_text("words")
    (project / "more").mkdir()
    write_audio("more/歌.wav", voice(0.1, RATE), RATE)
    model = ("-m", "logs/44k/G_8.pth")
    both = ("-m", "logs/44k/G_8.pth", "logs/旧/G_8.pth")
    song = ("-n", "歌")
    for argv, message in [
        (song, "name the models to evaluate with -m"),
        (("-m", "logs/*/X_*.pth", *song), "there is no model logs/*/X_*.pth"),
        (("-m", "logs/G_9.pth", *song), "there is no model logs/G_9.pth"),
        (("-m", "logs/44k/G_8.pth", "logs/44k/../44k/G_8.pth", *song), "-m names a model twice"),
        ((*both, "-c", *["logs/44k/config.json"] * 3, *song), "-c names 3 configurations for 2 models"),
        ((*model, "-c", "nowhere.json", *song), "nowhere.json does not exist"),
        (model, "name the songs to convert with -n"),
        ((*model, "-n", "gone"), "there is no song 'gone'"),
        ((*model, "-n", "bad.wav"), "bad.wav cannot be read as sound"),
        ((*model, "-n", "歌", "more/歌.wav"), "two songs are called '歌'"),
        ((*model, *song, "-t", "1", "2"), "-t has 2 keys for 1 song(s)"),
        ((*model, *song, "-s", "bob"), "the model has no speaker 'bob'"),
        ((*model, *song, "-s", "anna", "花子"), "name one target speaker with -s"),
        ((*model, *song, "--target", "empty"), "--target: empty is not a folder of recordings"),
        ((*model, *song, "--target", "nowhere"), "--target: nowhere is not a folder of recordings"),
        ((*model, *song, "--text", "a", "b"), "--text gives the words of 2 songs, but -n names 1"),
        ((*model, *song, "--text", "a.txt"), "a.txt cannot be read"),
        ((*model, *song, "-a"), "there is no melody to compare"),
        ((*model, *song, "--onnx", "x"), "remove --onnx and -usm"),
        ((*model, *song, "-wf", "txt"), "cannot write 'txt' files"),
        (("--ab", "more", "empty"), "no sounds of the same name"),
    ]:
        assert run(*argv) == 2, argv
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1, err
    assert not Path("results").exists()
    path = Path("logs/旧/config.json")
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, "spk": {"bob": 0}}))
    assert evaluate.main([*both, *song, "-s", "0"]) == 2
    assert "name the speaker differently: anna, bob" in capsys.readouterr().err
