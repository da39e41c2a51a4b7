"""Start of the commands: from the start of the process to what a user waits for.

    python -m benchmarks.start [--before COMMIT] [--rounds 5]

``--before`` measures another version of the project too, in turns with this one. Medians
without the first round (cold imports), and the processor time, which other load does not affect.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import table, temporary_folder
from benchmarks.workspace import ROOT, synthetic_song, template_without_downloads, write_model
from modules.common.children import child_environment
from modules.common.cli import make_parser
from modules.dsp.audio import write_audio

PATIENCE = 120.0  # s
SECONDS = 3.0  # of the song
Command = Callable[[Path, Path], None]  # with the folder of the project, and one to work in


def main(argv: Sequence[str] = ()) -> None:
    """Measure each command and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--before", metavar="COMMIT", help="another version to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are (%(default)s)")
    args = parser.parse_args(argv)
    commands: dict[str, Command] = {
        "`inference_main.py --help`": _help("inference_main.py"),
        f"`inference_main.py`, {SECONDS:g} s of song to its result": _convert,
        "`webUI.py --help`": _help("webUI.py"),
        "`webUI.py` to the page in full": _serve,
    }
    with temporary_folder() as folder, temporary_folder() as before:
        write_model(folder, template_without_downloads("tiny"))
        write_audio(folder / "song.wav", synthetic_song(SECONDS, 3), 44100)
        versions = {"now": ROOT}
        if args.before:
            _unpack(args.before, before)
            versions = {args.before: before, **versions}
        rows = []
        for name, command in commands.items():
            times: dict[str, list[tuple[float, float]]] = {version: [] for version in versions}
            for _ in range(1 + args.rounds):
                for version, project in versions.items():
                    start, busy = time.monotonic(), _cpu_time()
                    command(project, folder)
                    times[version].append((time.monotonic() - start, _cpu_time() - busy))
            rows.append([name, *(cell for found in times.values() for cell in _cells(found[1:]))])
    header = [f"{version}{what}" for version in versions for what in ("", ", processor")]
    table(["command", *header], rows)


def _cells(times: list[tuple[float, float]]) -> list[str]:
    wall, busy = (statistics.median(values) for values in zip(*times, strict=True))
    return [f"{wall:.2f} s ({min(times)[0]:.2f} to {max(times)[0]:.2f})", f"{busy:.2f} s"]


def _unpack(commit: str, folder: Path) -> None:
    """Write the files of a commit into ``folder``."""
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _environment(project: Path) -> dict[str, str]:
    return {**child_environment(), "PYTHONPATH": str(project), "GRADIO_ANALYTICS_ENABLED": "False"}


def _run(project: Path, folder: Path, script: str, *arguments: str) -> None:
    command = [sys.executable, str(project / script), *arguments]
    subprocess.run(command, cwd=folder, env=_environment(project), capture_output=True, check=True)


def _help(script: str) -> Command:
    return lambda project, folder: _run(project, folder, script, "--help")


def _convert(project: Path, folder: Path) -> None:
    flags = ["-m", "G_1.pth", "-c", "config.json", "-n", "song.wav", "-s", "voice", "-d", "cpu"]
    _run(project, folder, "inference_main.py", *flags)


def _serve(project: Path, folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(project / "webUI.py"), "--port", str(port)]
    end, read = time.monotonic() + PATIENCE, b""
    server = subprocess.Popen(command, cwd=folder, env=_environment(project), stdout=subprocess.DEVNULL)
    try:
        while not read:
            if time.monotonic() > end:
                raise SystemExit(f"the page is not served after {PATIENCE:.0f} s")
            if server.poll() is not None:
                raise SystemExit("webUI.py ended before it served its page")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
                    read = answer.read()
            time.sleep(0.02)
    finally:
        server.kill()
        server.wait()


def _cpu_time() -> float:
    """CPU time of child processes that have ended, s."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main(sys.argv[1:])
