"""A live conversion of a page: it has the voice model to itself, from *Start* until its end.

Its input and output are frames of one connection (socket.py), which come together: as many
samples go out as came in, so there is one clock.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

import numpy as np

from modules.common.errors import ConfigError, GlowSVCError
from webui.jobs.queue import LIVE, BackgroundJob, BusyError
from webui.session import Session, free_name
from webui.uploads import clean_stem

if TYPE_CHECKING:
    from inference.options import ConvertOptions
    from inference.output import SongWriter
    from inference.pipeline import SongConverter
    from inference.realtime.engine import RealtimeEngine
    from inference.realtime.meters import LiveStatus
    from inference.realtime.session import LiveSession
    from inference.realtime.settings import RealtimeSettings

RESULTS = Path("results")
_TICK = 0.25  # s
CONNECT_WITHIN = 30.0  # s from the model's being ready to the connection of the page
RATES = (8000, 192_000)  # Hz of a browser


@dataclass(frozen=True)
class LiveRequest:
    """What to convert to, and how."""

    options: ConvertOptions
    settings: RealtimeSettings
    speaker: str
    key: float  # semitones
    record: bool  # keep what is heard in results/


class LiveConversion:
    """One live conversion. Its ``ticket`` lets one connection be its microphone and loudspeaker."""

    def __init__(self, request: LiveRequest, page: str | None) -> None:
        self.request, self.page = request, page  # page: its session, which may change key and speaker
        self.ticket = secrets.token_urlsafe(16)
        self.ready = Event()
        self.recording: Path | None = None  # once it has ended
        self.failure: Exception | None = None
        self.job: BackgroundJob
        self._connected, self._ended = Event(), Event()
        self._engine: RealtimeEngine | None = None
        self._live: LiveSession | None = None
        self._recorder: SongWriter | None = None

    # the job's thread

    def run(self, converter: SongConverter, job: BackgroundJob) -> Path | None:
        """Convert until the connection ends; return the recording, if there is one."""
        from inference.realtime.commands import build_engine, check_speed
        from inference.realtime.runner import one_thread, undisturbed

        request = self.request
        job.enter(LIVE, request.speaker)
        with one_thread(), ExitStack() as stack:
            engine = build_engine(converter, request.settings, request.speaker, request.key)
            check_speed(engine)
            if request.record:
                self._recorder = stack.enter_context(self._recording(engine))
            self._engine = engine
            stack.enter_context(undisturbed())
            self.ready.set()
            self._wait(job)
        return self.recording

    def _wait(self, job: BackgroundJob) -> None:
        from inference.realtime.runner import Worker

        ticks = 0
        while not self._connected.wait(_TICK):
            ticks += 1
            job.report(0.0)
            if self._ended.is_set() or ticks * _TICK > CONNECT_WITHIN:
                return
        assert self._live is not None
        try:
            with Worker(self._live) as worker:
                while not self._ended.wait(_TICK):
                    worker.check()
                    job.report(0.0)
        except Exception as error:  # also of Cancelled: the recording is kept
            self.failure = error

    @contextmanager
    def _recording(self, engine: RealtimeEngine) -> Iterator[SongWriter]:
        from inference.output import writing
        from inference.realtime.commands import recording_tag

        name = engine.converter.config.speaker_name(engine.speaker)
        path = free_name(RESULTS / f"{clean_stem(f'live_{name}')}.flac")
        with writing(path, engine.sampling_rate, "flac", recording_tag(engine)) as writer:
            yield writer
        self.recording = path

    # the connection

    def connect(self, rate: float) -> None:
        """Begin, with samples at ``rate``, Hz.

        Raises:
            ConfigError: It is no rate of a browser, or the conversion has a connection or an end.
        """
        from inference.realtime.session import LiveSession

        if not RATES[0] <= rate <= RATES[1]:  # NaN is refused too
            raise ConfigError(f"the rate must be between {RATES[0]} and {RATES[1]} Hz")
        if self._connected.is_set() or self._ended.is_set() or not self._engine:
            raise ConfigError("this live conversion is connected or has ended; start a new one")
        self._live = LiveSession(self._engine, rate, rate, self._recorder)
        self._connected.set()

    def exchange(self, frame: np.ndarray) -> np.ndarray:
        """Take a frame (T,) of the microphone; return one of the loudspeaker."""
        assert self._live is not None
        if not np.isfinite(frame).all():
            frame = np.zeros_like(frame)
        self._live.capture(frame)
        return self._live.playback(len(frame))

    @property
    def ended(self) -> bool:
        """Whether it has ended, or failed."""
        return self._ended.is_set() or self.failure is not None or self.job.finished.is_set()

    @property
    def status(self) -> LiveStatus:
        """How it does."""
        assert self._live is not None
        return self._live.status()

    @property
    def lag(self) -> float:
        """Seconds of sound between a frame of the microphone and the same, converted."""
        assert self._live is not None
        return self._live.lag

    def change(self, speaker: str, key: float) -> None:
        """Go on with another speaker or key.

        Raises:
            GlowSVCError: The model has no such speaker, or what belongs to it cannot be read.
        """
        from inference.realtime.commands import check_key

        if self._engine:
            self._engine.key = check_key(key)
            if speaker and speaker != self._engine.speaker:
                self._engine.speaker = speaker

    def end(self) -> None:
        """Let it end."""
        self._ended.set()


class LiveSlot:
    """The place for one live conversion of a server."""

    def __init__(self, session: Session) -> None:
        self._session, self.queue, self._lock = session, session.queue, Lock()
        self.current: LiveConversion | None = None

    def begin(self, request: LiveRequest, page: str | None = None) -> LiveConversion:
        """Queue a live conversion.

        Raises:
            BusyError: There is one, or too many jobs wait.
        """
        with self._lock:
            if self.current and not self.current.job.finished.is_set():
                raise BusyError("a live conversion runs on this server already; end that one first")
            conversion = LiveConversion(request, page)
            conversion.job = self._session.lend(request.options, conversion.run)
            self.current = conversion
        return conversion

    def of_page(self, page: str | None) -> LiveConversion | None:
        """The last one, if this page began it."""
        return self.current if self.current and self.current.page == page else None

    def of_ticket(self, ticket: object) -> LiveConversion:
        """The one that ``ticket`` is for.

        Raises:
            ConfigError: There is none.
        """
        found = self.current
        if not (found and isinstance(ticket, str) and secrets.compare_digest(found.ticket, ticket)):
            raise ConfigError("this page has no live conversion; press Start again")
        return found


def explain(error: Exception) -> str:
    """Sentence on what ended a live conversion."""
    return str(error) if isinstance(error, GlowSVCError) else f"unexpected: {error or type(error).__name__}"
