"""Start-up time of the web page: start the server several times and request the page.

Prints the median times of ``webUI.py --help`` and from the start of the process to
the complete page, without the first start (cold imports); and the CPU times, which
other load does not affect:

    python -m benchmarks.webui.start
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.measure import temporary_folder
from benchmarks.workspace import ROOT
from modules.common.cli import make_parser

SCRIPT = ROOT / "webUI.py"
ROUNDS, PATIENCE = 5, 120.0  # s
_ENVIRONMENT = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}


def main() -> None:
    """Measure and print."""
    make_parser(__doc__).parse_args()
    for name, start in (("--help", _help), ("page", _serve)):
        with temporary_folder() as folder:
            times = [start(folder) for _ in range(1 + ROUNDS)][1:]
        wall, busy = (statistics.median(values) for values in zip(*times, strict=True))
        fastest, slowest = min(times)[0], max(times)[0]
        print(f"{name}: {wall:.2f} s ({fastest:.2f} to {slowest:.2f}), CPU {busy:.2f} s")


def _help(folder: Path) -> tuple[float, float]:
    start, before = time.monotonic(), _cpu_time()
    subprocess.run([sys.executable, str(SCRIPT), "--help"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start, _cpu_time() - before


def _serve(folder: Path) -> tuple[float, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start, before, seconds = time.monotonic(), _cpu_time(), 0.0
    command = [sys.executable, str(SCRIPT), "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, env=_ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        while not seconds:
            if time.monotonic() - start > PATIENCE:
                raise SystemExit(f"the page is not served after {PATIENCE:.0f} s")
            if server.poll() is not None:
                raise SystemExit("webUI.py ended before it served its page")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
                    answer.read()
                seconds = time.monotonic() - start
            time.sleep(0.02)
    finally:
        server.terminate()
        server.wait()
    return seconds, _cpu_time() - before


def _cpu_time() -> float:
    """CPU time of child processes that have ended, s."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
