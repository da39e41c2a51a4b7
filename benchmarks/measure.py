"""Measuring: medians of repeats, peak memory, processes and folders of their own, and a table."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median time of ``work`` in seconds, after one run that warms up."""
    return statistics.median(alternate({"": work}, repeats)[""])


def alternate(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Times in seconds of each, run in turns so that other load on the machine affects all alike.

    One turn that warms up is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: found[1:] for name, found in times.items()}


def isolated(work: Callable[..., T], *args: object) -> T:
    """Result of ``work(*args)`` in a new process, whose memory and imports are its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that is deleted in the end."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def peak_memory() -> int:
    """Largest resident size of this process so far, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage there begins with the size of the parent
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    import resource  # Windows has none

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest  # macOS counts bytes


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
