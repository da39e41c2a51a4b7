"""How long until the page is there? Start the server again and again, and ask it for the page.

Prints the median times of ``webUI.py --help`` and from the start of the process
to the page in full, the first start (imports are cold) left out; and the time on
the processor, which is what a machine needs that does nothing else:

    python -m benchmarks.webui.start
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from modules.common.cli import entry_point
from modules.common.errors import GlowSVCError

SCRIPT = Path(__file__).resolve().parents[2] / "webUI.py"
ROUNDS, PATIENCE = 5, 120.0  # s
_ENVIRONMENT = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="starts that count (%(default)s)")
    return parser


@entry_point
def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    args = get_parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        helped = [_help(folder) for _ in range(1 + args.rounds)][1:]
        served = [_serve(folder) for _ in range(1 + args.rounds)][1:]
    for name, times in (("--help", helped), ("page", served)):
        wall, busy = (statistics.median(values) for values in zip(*times, strict=True))
        fastest, slowest = min(times)[0], max(times)[0]
        print(f"{name}: {wall:.2f} s ({fastest:.2f} to {slowest:.2f}), on the processor {busy:.2f} s")
    return 0


def _help(folder: str) -> tuple[float, float]:
    start, before = time.monotonic(), _busy()
    subprocess.run([sys.executable, str(SCRIPT), "--help"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start, _busy() - before


def _serve(folder: str) -> tuple[float, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start, before, seconds = time.monotonic(), _busy(), 0.0
    command = [sys.executable, str(SCRIPT), "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, env=_ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        while not seconds:
            if time.monotonic() - start > PATIENCE:
                raise GlowSVCError(f"the page is not there after {PATIENCE:.0f} s")
            if server.poll() is not None:
                raise GlowSVCError("webUI.py ended before its page was there")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
                    answer.read()
                seconds = time.monotonic() - start
            time.sleep(0.02)
    finally:
        server.terminate()
        server.wait()
    return seconds, _busy() - before


def _busy() -> float:
    """Return how long processes that were started here, and have ended, had a processor, s."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
