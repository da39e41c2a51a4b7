"""The peak memory of a conversion, for songs of 1, 10 and 60 minutes."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.measure import table

MINUTES = (1, 10, 60)


def main() -> None:
    """Convert each length in a process of its own; print its peak and what that is over the idle process."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for minutes in MINUTES:
            song = folder / f"{minutes}.wav"
            _write_song(song, minutes)
            script = [sys.executable, "-m", "benchmarks.memory", str(song)]
            highest, idle = map(int, subprocess.run(script, capture_output=True, check=True).stdout.split())
            rows.append([f"{minutes} min", f"{highest / 1024:.0f} MB", f"{(highest - idle) / 1024:.0f} MB"])
            song.unlink()
    table(["song", "peak memory", "over the idle process"], rows)


def _write_song(path: Path, minutes: int) -> None:
    from synthetic_voice import SINGERS, compose, sing

    singer = next(iter(SINGERS.values()))
    minute = sing(compose(singer, 60.0, 5), singer, seed=5).audio
    with soundfile.SoundFile(path, "w", 44100, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(np.asarray(minute))


def peak() -> int:
    """Return the largest resident size of this process so far, kB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage there begins with the size of the parent
        return int(status.read_text().split("VmHWM:")[1].split()[0])
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest // 1024 if sys.platform == "darwin" else highest  # macOS counts bytes


def _convert(song: Path) -> None:
    from benchmarks.conversion import converter, no_download

    with tempfile.TemporaryDirectory() as name:
        made = converter(Path(name), no_download("config_tiny_template.json"))
        idle = peak()
        made.convert(song, song.with_suffix(".flac"), "voice")
    song.with_suffix(".flac").unlink()
    print(peak(), idle)


if __name__ == "__main__":
    _convert(Path(sys.argv[1]))
