"""The demo from end to end on a few seconds of singing, and every mistake reported before any work."""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import demo
import inference_main
from model_tools import instant
from modules.checkpoint import write_checkpoint
from modules.common.errors import CheckpointError
from modules.config import Config
from synthetic_voice import SINGERS, compose, sing
from tests.support.processes import start_interruptible, wait_until
from training.base_model import STARTER

RATE = demo.RATE


def record(path: Path, singer: str, seconds: float, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voice = SINGERS[singer]
    soundfile.write(path, sing(compose(voice, seconds, seed), voice, seed=seed).audio, RATE)
    return path


@pytest.fixture
def run(tmp_path, capfd):
    """Run the demo in an empty folder; return (exit code, its output, its errors)."""

    def call(*args: object):
        code = demo.main(["--workspace", str(tmp_path / "demo"), *map(str, args)])
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return call


def test_from_recordings_to_a_picture_and_numbers(run, tmp_path):
    dataset = tmp_path / "my recordings" / "花子"
    record(dataset / "ein Lied.wav", "sofia", 8.0, 1)  # one file is enough
    song = record(tmp_path / "a song.wav", "bruno", 3.0, 2)
    code, out, err = run("--dataset", dataset, "--song", song, "--minutes", 0.03)
    assert code == 0, err
    work = tmp_path / "demo/花子"
    key = int(re.findall(r"key: ([+-]\d+) semitones brings the song into the range of 花子", out)[-1])
    result = work / f"results/a song_{key}key_花子_glow_swift-f0_protect0.33.wav"
    assert f"result   {result}\npicture  {result.with_suffix('.png')}\n" in out
    assert result.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    audio, rate = soundfile.read(result)
    assert rate == RATE and len(audio) == soundfile.info(song).frames and np.abs(audio).max() > 0.01
    share = re.search(r"F0 within 50 cents: ([\d.]+).*? \(WORLD resynthesis of the source: ([\d.]+)\)", out)
    assert all(0.3 < float(number) <= 1 for number in share.groups())
    assert f"length: {len(audio)} samples as the source; key {key:+d}" in out
    assert f"starting from the base model {STARTER}" in err


def test_the_song_is_converted_at_once_before_the_training(run, reference_base, tmp_path, monkeypatch):
    monkeypatch.setattr(instant, "STARTER", reference_base)
    commands = []

    def run_here(command, workspace):
        commands.append(command)
        if command[0] != "inference_main.py":
            return 3
        monkeypatch.chdir(workspace)
        return inference_main.main(command[1:])

    monkeypatch.setattr(demo, "_run", run_here)
    for name, singer in (("anna", "bruno"), ("花子", "sofia")):
        record(tmp_path / "voices" / name / "1.wav", singer, 6.0, 1)
    song = record(tmp_path / "song.wav", "bruno", 2.0, 2)
    code, out, _ = run("--dataset", tmp_path / "voices", "--song", song, "--speaker", "花子")
    assert code == 3 and [command[0] for command in commands] == ["inference_main.py", "resample.py"]
    path = Path(re.search(r"a first result, without training, after \d+ s: (.+)", out)[1])
    key = int(re.search(r"key: ([+-]\d+)", out)[1])
    assert path.name == f"song_{key}key_花子_glow_swift-f0_protect0.33_instant.wav" and key > 0
    model = Path(commands[0][commands[0].index("-m") + 1])  # the recordings are heard once
    assert model.name == instant.FILE and model.is_file()

    shutil.copy(path, path.with_name(f"song_{key}key_花子_glow_swift-f0_protect0.33.wav"))  # as if trained
    read = demo.DemoSong.read(song, tmp_path)
    report = demo._report(read, key, "花子", tmp_path / "demo/voices", (path, key))
    score, at_once = re.search(r"F0 within 50 cents: ([\d.]+), at once ([\d.]+) \(", report).groups()
    assert score == at_once and f"at once  {path}\nresult   " in report

    record(tmp_path / "short/anna/1.wav", "sofia", 1.0, 1)
    code, out, _ = run("--dataset", tmp_path / "short", "--song", song)
    assert code == 3 and "no result before training: " in out and "needs 2 s" in out


def test_mistakes_are_one_line_and_leave_nothing_or_no_training(run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.wav").write_text("words")
    dataset = ("--dataset", record(tmp_path / "anna/1.wav", "sofia", 2.0, 1).parent)
    for args, message in [
        (("--dataset", tmp_path / "nowhere"), "nowhere is not a folder; give a folder of recordings"),
        (("--dataset", tmp_path / "text.wav"), "text.wav is not a folder"),
        (("--dataset", tmp_path / "empty"), "empty holds no audio, and neither do the folders in it"),
        ((*dataset, "--song", tmp_path / "text.wav"), "text.wav cannot be read"),
        (("--song", tmp_path / "none.wav"), "none.wav does not exist"),
    ]:
        code, out, err = run(*args)
        assert code == 2 and message in err and err.count("\n") == 1 and not out
    assert not (tmp_path / "demo").exists()
    song = record(tmp_path / "voices/anna/1.wav", "sofia", 3.0, 1)
    record(tmp_path / "voices/bob/1.wav", "bruno", 3.0, 1)
    code, out, err = run("--dataset", tmp_path / "voices", "--song", song, "--speaker", "carl")
    assert code == 2 and "train.py" not in out
    assert err.splitlines()[-1].endswith("no speaker 'carl'; it knows: anna (0), bob (1)")


@pytest.fixture
def steps(monkeypatch):
    """Note the steps instead of running them; the first one fails, so that the demo ends there."""
    commands: list[list[str]] = []
    monkeypatch.setattr(demo, "_run", lambda command, workspace: commands.append(command) or 3)
    monkeypatch.setattr(demo, "_convert_at_once", lambda *args: (0, None))
    return commands


def test_another_data_set_of_the_same_name_is_refused(run, steps, tmp_path):
    song = record(tmp_path / "song.wav", "sofia", 2.0, 1)
    for folder in ("a/anna", "b/anna", "a/voices/anna", "b/voices/anna"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(song, tmp_path / folder)
    for again in range(2):  # the same one again is a continuation
        assert run("--dataset", tmp_path / "a/anna", "--song", song)[0] == 3
        assert len(steps) == again + 1 and "--slice" in steps[-1]
    link = tmp_path / "demo/anna/dataset_raw/anna"
    assert link.resolve() == tmp_path / "a/anna"

    def refused():
        code, out, err = run("--dataset", tmp_path / "b/anna", "--song", song)
        assert code == 2 and err.count("\n") == 1 and len(steps) == 2
        wanted = f"{tmp_path}/demo/anna was made of {tmp_path}/a/anna, not of {tmp_path}/b/anna; delete it"
        assert wanted in err

    refused()
    (tmp_path / "demo/anna/origin.txt").unlink()  # as it was left by a demo that kept no note
    refused()
    shutil.rmtree(tmp_path / "a/anna")  # now the link leads nowhere
    refused()
    assert link.is_symlink()
    assert run("--dataset", tmp_path / "a/voices", "--song", song)[0] == 3  # a folder of speakers
    assert run("--dataset", tmp_path / "b/voices", "--song", song)[0] == 2


def test_where_links_are_not_allowed_the_recordings_are_copied(run, steps, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    song = record(tmp_path / "anna/1.wav", "sofia", 2.0, 1)
    assert run("--dataset", tmp_path / "anna", "--song", song)[0] == 3
    record(tmp_path / "anna/2.wav", "sofia", 2.0, 2)
    assert run("--dataset", tmp_path / "anna", "--song", song)[0] == 3
    copies = (tmp_path / "demo/anna/dataset_raw/anna").iterdir()
    assert sorted(path.name for path in copies) == ["1.wav", "2.wav"]


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    folder = tmp_path / "logs/44k"
    with pytest.raises(CheckpointError, match="there is no model"):
        demo._newest_model(tmp_path)
    write_checkpoint(folder / "G_100.pth", {"model": {}})
    (folder / "G_200.pth").write_bytes(b"cut short")
    assert demo._newest_model(tmp_path) == folder / "G_100.pth"


def test_a_voice_of_unknown_range_gets_key_zero(tmp_path, capsys):
    song = demo.DemoSong.read(record(tmp_path / "song.wav", "bruno", 2.0, 1), tmp_path)
    config = Config(spk={"anna": 0})
    assert demo._suggested_key(song, config, "anna") == 0
    assert "no recording of anna holds a sung note" in capsys.readouterr().out
    high = replace(config, f0_range={"anna": (300.0, 400.0, 500.0)})
    assert demo._suggested_key(song, high, "anna") > 0


CHILD = """
import signal, sys, time
from pathlib import Path

def save(*_):
    time.sleep(1.5)  # subprocess.run would kill it after 0.25 s
    Path("saved").touch()
    sys.exit(130)

signal.signal(signal.SIGINT, save)
signal.signal(signal.SIGTERM, save)
Path("ready").touch()
time.sleep(60)
"""
PARENT = """
import sys
from pathlib import Path
import demo

demo.ROOT = Path.cwd()
try:
    demo._run(["child.py"], Path.cwd())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals a process group")
@pytest.mark.parametrize("whom", ["all", "the demo"])
def test_the_demo_waits_until_the_step_has_saved_its_work(tmp_path, whom):
    (tmp_path / "child.py").write_text(CHILD)
    process = start_interruptible(
        [sys.executable, "-c", PARENT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(demo.ROOT)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    wait_until((tmp_path / "ready").exists, process)
    if whom == "all":
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C in a terminal
    else:
        process.terminate()
    assert process.wait(60) == 130
    assert (tmp_path / "saved").exists()
