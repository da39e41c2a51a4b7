"""Work on clips one after another, or in several processes.

Processes are spawned, not forked, so that it works alike on every system and
with CUDA. Each gets one thread: as many processes as cores use the machine
fully, and more threads would only get in each other's way.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from modules.common.children import end_with
from modules.common.errors import GlowSVCError

Item = TypeVar("Item")
Result = TypeVar("Result")


def process_count(wanted: int, n_items: int) -> int:
    """Number of processes to use for ``n_items``; ``wanted`` 0 means one per core that may be used."""
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = 61 if sys.platform == "win32" else n_items  # what Windows can wait for at once
    return max(1, min(n_items, most, wanted if wanted > 0 else free))


def failure(item: object, error: OSError) -> str:
    """Message for a run that goes on without ``item``; raises ``error`` if the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):  # every other item would fail too
        raise error
    return f"{item}: {error}"


def run(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    num_processes: int,
    setup: Callable[..., None] | None = None,
    setup_args: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """Yield ``work(item)`` for every item, in the order in which they are finished.

    When the caller stops early (Ctrl-C, an error), items under way are finished
    and the rest is dropped. ``work`` is at the top level of its module, and
    ``setup`` called once in each process before any. ``num_processes`` 1 is this
    process, in order; 0 uses every core.

    Raises:
        GlowSVCError: A process died. Errors of ``work`` are raised as they are.
    """
    if not items:
        return
    count = process_count(num_processes, len(items))
    if count == 1:
        if setup:
            setup(*setup_args)
        yield from map(work, items)
        return
    pool = ProcessPoolExecutor(count, get_context("spawn"), _start, (setup, setup_args))
    try:
        for future in as_completed([pool.submit(work, item) for item in items]):
            yield future.result()
    except BrokenProcessPool:
        raise GlowSVCError(
            "a worker process died, most likely because memory ran out; what was finished is kept. "
            "Run the same command with a smaller --num_processes"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(setup: Callable[..., None] | None, setup_args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes: only the parent acts on it
    end_with(os.getppid())  # a pool does not end with a parent that is killed
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported
    if torch := sys.modules.get("torch"):  # which the module of ``setup`` has done
        torch.set_num_threads(1)
    if setup:
        setup(*setup_args)
