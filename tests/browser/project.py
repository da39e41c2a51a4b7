"""A project with everything that the page can show, and the server that shows it: all real, all tiny."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.processes import start_interruptible

ROOT = Path(__file__).resolve().parents[2]
SINGER, SONG = "sofia", "my song 歌.wav"
_PATIENCE = 120.0  # s for a server to be there: imports of a cold machine


def make_project(folder: Path) -> Path:
    """Write recordings, features, a configuration to train by, voices and a song; return the folder."""
    import soundfile

    import preprocess_flist_config
    import preprocess_hubert_f0
    import resample
    from synthetic_voice import SINGERS, compose, sing, write_dataset
    from tests.inference.tiny import write_diffusion, write_model

    folder.mkdir(parents=True, exist_ok=True)
    list(write_dataset(folder / "dataset_raw", [SINGER, "bruno"], 30.0, seed=1))
    voice = SINGERS["bruno"]
    song = sing(compose(voice, 6.0, 7), voice, seed=7).audio
    (folder / "raw").mkdir()
    soundfile.write(folder / "raw" / SONG, song, 44100)
    write_model(folder / "trained/anna")
    write_model(folder / "trained/花子")
    write_diffusion(folder / "logs/44k/diffusion")
    (folder / "trained/broken").mkdir()
    (folder / "trained/broken/G_1.pth").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    with _within(folder):
        assert resample.main([]) == 0
        assert preprocess_flist_config.main(["--speech_encoder", "mfcc", "--vocoder", "world", "--tiny"]) == 0
        assert preprocess_hubert_f0.main(["--device", "cpu"]) == 0
    config = folder / "configs/config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["train"] |= {"eval_interval": 6, "log_interval": 1, "batch_size": 2, "max_speclen": 64}
    config.write_text(json.dumps(values), encoding="utf-8")
    return folder


@contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run webUI.py in ``folder``; give its address. At the end nothing that it started is left."""
    process = start_interruptible(
        [sys.executable, "-u", str(ROOT / "webUI.py")],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
    )
    lines: queue.Queue[str] = queue.Queue()
    said: list[str] = []

    def listen() -> None:
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            lines.put(line)
        lines.put("")

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        end = time.monotonic() + _PATIENCE
        while True:
            line = lines.get(timeout=max(0.0, end - time.monotonic()))
            assert line, f"webUI.py ended:\n{''.join(said)}"
            if line.startswith("Glow-SVC: http"):
                break
        yield line.split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        listener.join(5)
        assert process.stdout
        process.stdout.close()
        end_all(folder)
        (folder / "server.log").write_text("".join(said), encoding="utf-8")


def end_all(folder: Path) -> None:
    """End what the page left running in ``folder``, by the numbers that it noted."""
    for record in (folder / "logs/webui").glob("*.json"):
        values = json.loads(record.read_text(encoding="utf-8"))
        with suppress(psutil.Error):
            process = psutil.Process(values["pid"])
            if abs(process.create_time() - values["born"]) < 2:
                process.kill()


def find_chromium() -> str | None:
    """Return the browser: what the variable CHROMIUM names, or Debian's."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
