"""Training beside other work: one step alone, two trainings at once, one beside a busy single thread.

    python -m benchmarks.training.contention [--spins 0 1000 100000] [--threads 1 2]

Every process trains the tiny model for a few seconds and reports its median step.
"default" leaves OpenMP's spinning as its runtime has it; the other rows bound it
(GOMP_SPINCOUNT), as modules/__init__.py does. The ratio is to the default alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.measure import table
from benchmarks.workspace import ROOT
from modules.common.children import child_environment
from modules.common.cli import make_parser

SECONDS = 8.0  # of steps; the first second warms up
DEFAULT = "default"
# torch comes first: what modules/__init__.py sets must not reach its runtime
STEPS = "import torch; from benchmarks.training.contention import train; train()"
BUSY = "from modules.common.children import watch_parent; watch_parent()\nwhile True: pass"
SITUATIONS = {
    "alone": (1, 0),
    "two at once": (2, 0),
    "beside a busy thread": (1, 1),
}  # trainings, busy threads


def train() -> None:
    """Print the median time of a step of the tiny model, in seconds."""
    import statistics
    import time

    import torch

    from benchmarks.training.step import Form, make_step
    from benchmarks.workspace import template

    step = make_step(template("tiny"), Form(True, torch.float32))
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < end or len(times) < 3:
        step()
        times.append(time.perf_counter() - began)
    print(statistics.median(times[len(times) // 8 :]))


def measure(trainings: int, busy: int, spin: str, threads: int) -> float:
    """Median time of a step, in seconds, the slowest of several trainings."""
    kept = {
        name: value
        for name, value in child_environment().items()
        if name not in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    }
    environment = {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    if spin != DEFAULT:
        environment["GOMP_SPINCOUNT"] = spin

    def start(code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )

    others = [start(BUSY) for _ in range(busy)]
    try:
        processes = [start(STEPS) for _ in range(trainings)]
        return max(float(process.communicate()[0]) for process in processes)
    finally:
        for other in others:
            other.kill()
            other.communicate()


def main(argv: Sequence[str] | None = ()) -> None:
    """Print a row for each number of threads and each bound."""
    parser = make_parser(__doc__)
    parser.add_argument("--spins", nargs="+", default=["1000"], help="bounds to try (%(default)s)")
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[os.cpu_count() or 1], help="of each training"
    )
    args = parser.parse_args(argv)
    rows = []
    for threads in args.threads:
        baseline = 0.0
        for spin in [DEFAULT, *args.spins]:
            times = [measure(*situation, spin, threads) for situation in SITUATIONS.values()]
            baseline = baseline or times[0]
            cells = [f"{spent * 1000:.0f} ms, {spent / baseline:.2f}×" for spent in times]
            rows.append([threads, spin, *cells])
    table(["threads", "spin", *SITUATIONS], rows)


if __name__ == "__main__":
    main(None)
