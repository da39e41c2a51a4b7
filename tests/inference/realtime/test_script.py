"""The command: files through the engine, devices in virtual time, and every mistake on one line."""

import io
import re
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import realtime
from inference.options import ConvertOptions
from inference.realtime.engine import RealtimeEngine
from modules.f0_predictor import F0_PREDICTORS
from tests.inference.realtime.fake_portaudio import Card, FakePortAudio
from tests.inference.tiny import RATE, write_model
from tests.support.golden_cases import voice


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "logs")
    soundfile.write("song.wav", voice(0.6, 48000), 48000)
    return tmp_path


def run(*argv: str) -> int:
    return realtime.main(["-m", "logs/G_8.pth", "-d", "cpu", "-s", "anna", "--context", "200", *argv])


@pytest.mark.parametrize("look_ahead", ["0", "35", "90"])
def test_a_file_becomes_a_file_of_its_length_and_time(project, capsys, look_ahead):
    assert run("--input", "song.wav", "--output", "out/result.flac", "--look_ahead", look_ahead) == 0
    audio, rate = soundfile.read("out/result.flac")
    assert (len(audio), rate) == (round(0.6 * RATE), RATE)
    assert np.abs(audio).max() > 0
    shown = capsys.readouterr().out
    assert "result.flac: 0.6 s, real-time factor" in shown and "latency" in shown
    assert "speaker anna, key +0" in soundfile.SoundFile("out/result.flac").comment


def test_a_stream_has_a_predictor_of_its_own_by_default(project):
    args = realtime.get_parser().parse_args([])
    assert args.f0_predictor == "pm" != ConvertOptions().f0_predictor
    assert realtime.get_parser().parse_args(["-f0p", "dio"]).f0_predictor == "dio"


@pytest.mark.parametrize("name", ["song.f0.csv", "."])
def test_a_file_is_sung_with_the_pitch_of_a_file(project, name):
    (project / "song.f0.csv").write_text("".join(f"{i / 100},330,1\n" for i in range(60)))
    assert run("--input", "song.wav", "--output", "o.wav", "--f0", name) == 0
    f0, uv = F0_PREDICTORS.build("pm", sampling_rate=RATE).predict(soundfile.read("o.wav")[0])
    assert np.median(f0[uv > 0]) == pytest.approx(330, rel=0.01)  # its own is a sweep


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "none.wav", "--output", "o.wav"], "--input: there is no file none.wav"),
        (["--input", "song.wav", "--output", "o.wav", "-m", "none/G.pth"], "none/G.pth"),
        (["--input", "song.wav", "--output", "o.wav", "-s", "nobody"], "nobody"),
        (["--input", "song.wav", "--output", "o.wav", "--record", "p.wav"], "--output is a file already"),
        (["--input", "song.wav", "--output", "o.wav", "--block", "1"], "--block must be 10 to 2000 ms"),
        (["--input", "song.wav", "--output", "o.wav", "-t", "99"], "-t must be between -60 and 60"),
        (["--input", "song.wav", "--measure_latency"], "--measure_latency measures sound devices"),
        (
            ["--input", "song.wav", "--f0", "a.csv"],
            "--f0 counts from the beginning of a song; it needs files",
        ),
        (["--input", "song.wav", "--output", "o.wav", "--f0", "a.csv"], "--f0: there is no file a.csv"),
        (["--input", "song.wav", "--output", "o.wav", "--f0", "song.wav"], "song.wav is not text"),
        (["--input", "9"], "there is no sound input '9'"),
        (["--output", "radio"], "there is no sound output 'radio'"),
    ],
)
def test_mistakes_are_one_line(project, monkeypatch, capsys, arguments, message):
    world = FakePortAudio(Card("Mic", inputs=1), Card("Phones", outputs=2))
    monkeypatch.setitem(sys.modules, "sounddevice", world)
    assert run(*arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("realtime.py")]
    assert message in line
    assert not list(project.glob("*.tmp*")) and not (project / "o.wav").exists()


def test_devices_are_listed(monkeypatch, capsys):
    world = FakePortAudio(Card("Mic", inputs=1), Card("Phones", outputs=2))
    monkeypatch.setitem(sys.modules, "sounddevice", world)
    assert realtime.main(["--list_devices"]) == 0
    assert "*  0  Mic (Virtual), 1 channels" in capsys.readouterr().out


class Hurried(FakePortAudio):
    """Virtual time that passes as the script sleeps, and Ctrl-C after a second of it."""

    def __init__(self, monkeypatch, *cards, end=1.5):
        super().__init__(*cards)
        self._sleep, self._end = time.sleep, end
        monkeypatch.setitem(sys.modules, "sounddevice", self)
        own = SimpleNamespace(sleep=self.sleep, monotonic=self.clock, perf_counter=self.clock)
        monkeypatch.setattr(realtime, "time", own)
        monkeypatch.setattr(sys, "stdin", io.StringIO("t 3\n\ns nobody\nwhat\nm gone/G.pth\ns 1\n"))

    def sleep(self, seconds):
        for _ in range(round(seconds / 0.005)):
            self.run(0.005)
            self._sleep(0.001)
        if self.now > self._end:
            raise KeyboardInterrupt


def test_ctrl_c_ends_at_once_and_keeps_the_recording(project, monkeypatch, capsys, caplog):
    tone = lambda times: 0.3 * np.sin(2 * np.pi * 220 * times)  # noqa: E731
    Hurried(monkeypatch, Card("Mic", inputs=2, sound=tone), Card("Phones", outputs=2))
    assert run("--record", "take.wav", "--block", "200") == 0
    audio, rate = soundfile.read("take.wav")
    assert rate == RATE and len(audio) > 0.4 * RATE and np.abs(audio).max() > 0
    shown = capsys.readouterr()
    assert "take.wav: recorded" in shown.out and "underruns" in shown.err
    assert all(said in caplog.text for said in ("nobody", "t <semitones>", "gone/G.pth"))


def test_a_voice_deleted_while_it_runs_goes_on_and_is_missed_by_name(project, monkeypatch, capsys, caplog):
    tone = lambda times: 0.3 * np.sin(2 * np.pi * 220 * times)  # noqa: E731
    world = Hurried(monkeypatch, Card("Mic", inputs=1, sound=tone), Card("Phones", outputs=2))
    monkeypatch.setattr(sys, "stdin", io.StringIO("t 2\ns 花子\nm logs/G_8.pth\n"))
    world.at(0.1, lambda: shutil.rmtree("logs"))
    assert run("--record", "take.wav", "--block", "200") == 0
    assert "logs/G_8.pth" in caplog.text and "Traceback" not in capsys.readouterr().err
    audio, rate = soundfile.read("take.wav")
    assert len(audio) > 0.8 * rate and np.abs(audio[-rate // 5 :]).max() > 0  # also after it was gone


def test_a_device_in_use_is_one_line(project, monkeypatch, capsys):
    microphone = Card("Mic", inputs=1, busy=True)
    monkeypatch.setitem(sys.modules, "sounddevice", FakePortAudio(microphone, Card("Phones", outputs=2)))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run() == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("realtime.py")]
    assert "the sound input 'Mic' cannot be opened" in line and "another program may be using it" in line


def test_a_machine_too_slow_says_which_setting_helps(project, monkeypatch, capsys, caplog):
    tone = lambda times: 0.3 * np.sin(2 * np.pi * 220 * times)  # noqa: E731
    Hurried(monkeypatch, Card("Mic", inputs=1, sound=tone), Card("Phones", outputs=2))
    real = RealtimeEngine.process

    def slow(engine, audio):
        time.sleep(0.08)  # of real time, for a block of 0.05 s
        return real(engine, audio)

    monkeypatch.setattr(RealtimeEngine, "process", slow)
    assert run("--block", "50") == 0
    assert re.search(r"a block takes \d\.\d times the time there is: try --block \d+, or", caplog.text)
    assert re.search(r"the load is \d+ %: --block \d+ would bring it to 70 %", capsys.readouterr().err)


def test_a_file_is_played_to_a_device(project, monkeypatch):
    world = Hurried(monkeypatch, Card("Mic", inputs=1), Card("Phones", outputs=2), end=30)
    assert run("--input", "song.wav", "--block", "100") == 0
    assert np.abs(np.concatenate([audio for _, audio in world.cards[1].played])).max() > 0


@pytest.mark.skipif(not shutil.which("pulseaudio"), reason="needs PulseAudio, for a virtual sound card")
@pytest.mark.slow
def test_a_virtual_sound_card_loops_back(project, tmp_path, monkeypatch):
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as error:  # the module or the library PortAudio
        pytest.skip(f"pip install -r requirements-live.txt, and PortAudio: {error}")
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    (folder / "null.pa").write_text(
        "load-module module-native-protocol-unix\n"
        "load-module module-null-sink sink_name=loop rate=48000\n"
        "set-default-sink loop\nset-default-source loop.monitor\n"
    )
    settings = ["-n", "-F", str(folder / "null.pa"), "--exit-idle-time=-1", "--use-pid-file=false"]
    server = subprocess.Popen(["pulseaudio", *settings], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if (folder / "pulse/native").exists():
                break
            time.sleep(0.1)
        command = [sys.executable, realtime.__file__, "-m", "logs/G_8.pth", "-d", "cpu", "-s", "anna"]
        done = subprocess.run(
            [*command, "--input", "pulse", "--output", "pulse", "--block", "100", "--measure_latency"],
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        server.terminate()
        server.wait()
    assert done.returncode == 0, done.stderr
    assert "measured (" in done.stdout and "of 4 bursts" in done.stdout
