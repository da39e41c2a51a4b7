"""Runs a session on sound devices: a thread that computes, and a watch over devices that are unplugged."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from inference.realtime.devices import DeviceStreams
from inference.realtime.session import LiveSession
from modules.common.errors import DeviceError

_RETRY = 1.0  # s between two looks for a device that is gone
_IDLE = 0.02  # s
_SWITCH = 0.0005  # s, after which the thread that computes lets a callback through

logger = logging.getLogger(__name__)


class DeviceWatch:
    """Reopens the devices of a session when they were gone and are back."""

    def __init__(
        self,
        session: LiveSession,
        streams: DeviceStreams,
        rates: tuple[float, float],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session, self._streams, self._rates, self._clock = session, streams, rates, clock
        self._gone: float | None = None  # s, when they were last looked for

    def check(self) -> None:
        """Look at the devices; call it several times a second."""
        now = self._clock()
        if self._gone is None:
            if self._streams.alive(now):
                return
            logger.warning("a sound device is unplugged or stopped; waiting until it is back")
            self._streams.close()
            self._gone = now
        elif now - self._gone >= _RETRY:
            self._gone = now
            if self._streams.find_again() and self._reopen():
                self._gone = None
                logger.info("the sound devices are back")

    def _reopen(self) -> bool:
        self._session.restart()
        try:
            self._streams.open(self._session, self._rates)
        except DeviceError:  # it is there and not ready yet
            return False
        return True


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch and NumPy compute in one thread.

    On tensors of a block, further ones take longer than they help, and keep a processor busy as they wait.
    """
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Spare the garbage collector what there is by now, which takes it longer than a block; hurry threads."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


@contextmanager
def running(
    session: LiveSession, streams: DeviceStreams, rates: tuple[float, float]
) -> Iterator[Callable[[], None]]:
    """Let a session run; yields what is to be called several times a second, and raises what went wrong."""
    watch = DeviceWatch(session, streams, rates)
    with undisturbed(), Worker(session) as worker:
        streams.open(session, rates)
        try:

            def check() -> None:
                worker.check()
                watch.check()

            yield check
        finally:
            streams.close()


class Worker:
    """Computes a session's blocks in a thread. A context manager; leaving it ends the thread."""

    def __init__(self, session: LiveSession) -> None:
        self._session, self._ending = session, Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="live conversion", daemon=True)

    def _run(self) -> None:
        session = self._session
        try:
            while not self._ending.is_set():
                if not session.pump():
                    session.captured.wait(_IDLE)
                    session.captured.clear()
        except BaseException as error:  # noqa: B036 - it is raised in the main thread
            self._error = error

    def check(self) -> None:
        """Raise what ended the thread, if something did."""
        if self._error:
            raise self._error

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._session.captured.set()
        self._thread.join()
