"""A server on a project folder with a tiny voice model and a song."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from tests.inference.tiny import write_diffusion, write_model
from tests.support.processes import wait_until

PROJECT = Path(__file__).parents[2]
RATE = 44100
MODEL = "trained/anna/G_8.pth"


def tone(seconds: float, hz: float = 220.0) -> np.ndarray:
    """Voice-like tone (T,) with silence in its middle."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(hz * 2 ** (np.sin(5 * time) / 30)) / RATE
    audio = sum(np.sin(number * phase) / number for number in range(1, 8)) * 0.15
    audio[len(audio) // 2 :][: RATE // 2] = 0
    return audio.astype(np.float32)


def make_project(root: Path) -> Path:
    """Write a voice model, its diffusion model and a song into ``root``."""
    write_model(root / "trained" / "anna")
    write_diffusion(root / "logs" / "44k" / "diffusion")
    (root / "raw").mkdir()
    soundfile.write(root / "raw" / "歌 one.wav", tone(3.0), RATE)
    return root


@contextmanager
def running(root: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """Run webUI.py in ``root`` on a free port of this machine; yields its address.

    A process of its own, since a server leaves threads and event loops open at its end.
    """
    log = root / "webui.log"
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, str(PROJECT / "webUI.py"), *arguments]
        server = subprocess.Popen(
            command, cwd=root, stdout=file, stderr=file, env={**os.environ, **environment}
        )
    said = re.compile(r"Glow-SVC: (http://\S+)")
    try:
        wait_until(lambda: server.poll() is not None or said.search(log.read_text("utf-8")), None, 120)
        assert (found := said.search(log.read_text("utf-8"))), log.read_text("utf-8")
        yield found[1].rstrip("/")
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
