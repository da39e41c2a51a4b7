"""The songs that are open in the pitch editor, each known by the ticket of its page."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from modules.common.errors import ConfigError
from webui.jobs.queue import ANALYSING, CONVERTING, BackgroundJob
from webui.session import ConversionTask, Session, free_name
from webui.uploads import clean_stem

if TYPE_CHECKING:
    from inference.options import ConvertOptions
    from inference.pipeline import SongConverter
    from inference.pitch.editable import EditableSong

MOST = 4  # open at a time, 8 bytes a sample on the disk each; the one that was used least lately is closed
RESULTS = Path("results")


class OpenSong:
    """A song in the editor, with the history of its pitch. ``ticket`` is what its page shows for it."""

    def __init__(
        self, song: EditableSong, task: ConversionTask, options: ConvertOptions, page: str | None
    ) -> None:
        from inference.pitch.history import PitchHistory

        self.song, self.task, self.options, self.page = song, task, options, page
        self.ticket = secrets.token_urlsafe(16)
        self.history = PitchHistory(song.f0)
        self.editing = Lock()  # edits come one after the other
        self.job: BackgroundJob | None = None  # the last rendering
        self.saved: Path | None = None  # the last result
        self._rendering = Lock()

    def render(
        self, converter: SongConverter, job: BackgroundJob, save: bool
    ) -> tuple[list[int], Path | None]:
        """Render what edits have changed; return the numbers of these slices, and the saved file."""
        from inference.output import result_name

        job.enter(CONVERTING, self.task.song.name)
        with self._rendering:
            numbers = self.song.render(converter, self.history.f0, job.report)
            if not save:
                return numbers, None
            stem = f"{clean_stem(self.task.song.name)}_edited"
            speaker = str(self.task.speaker)
            path = free_name(RESULTS / result_name(stem, self.song.key, speaker, self.options))
            self.song.write(path, converter)
            self.saved = path
        return numbers, path

    def close(self) -> None:
        """Free the disk, after the slice that is being rendered."""
        if self.job:
            self.job.cancel()
        with self._rendering:
            self.song.close()


class OpenSongs:
    """The open songs of a server."""

    def __init__(self, session: Session) -> None:
        self.session, self._lock = session, Lock()
        self._open: dict[str, OpenSong] = {}  # by ticket, the one used last at the end

    def open(self, options: ConvertOptions, task: ConversionTask, page: str | None = None) -> BackgroundJob:
        """Queue opening a song in place of the page's last; the job's result is an :class:`OpenSong`."""
        options = replace(options, preview=0.0)  # the whole song can be edited

        def work(converter: SongConverter, job: BackgroundJob) -> OpenSong:
            from inference.pitch.editable import EditableSong

            job.enter(ANALYSING, task.song.name)
            RESULTS.mkdir(exist_ok=True)
            song = EditableSong(converter, task.song, RESULTS, task.speaker, task.key, job.report)
            opened = OpenSong(song, task, options, page)
            if page:
                self.close_page(page)
            with self._lock:
                self._open[opened.ticket] = opened
                old = [self._open.pop(ticket) for ticket in list(self._open)[:-MOST]]
            for other in old:
                other.close()
            return opened

        return self.session.lend(options, work)

    def render(self, opened: OpenSong, save: bool = False) -> BackgroundJob:
        """Queue a rendering; its result is that of :meth:`OpenSong.render`."""
        opened.job = self.session.lend(
            opened.options, lambda converter, job: opened.render(converter, job, save)
        )
        return opened.job

    def of_ticket(self, ticket: str) -> OpenSong:
        """The song of a ticket; raises ConfigError if it is not open."""
        with self._lock:
            found = self._open.pop(ticket, None)
            if found is None:
                raise ConfigError("this song is no longer open in the editor; open it again")
            self._open[ticket] = found
            return found

    def close_page(self, page: str | None) -> None:
        """Close the song of a page that is left."""
        with self._lock:
            old = [opened for opened in self._open.values() if opened.page == page]
            for opened in old:
                del self._open[opened.ticket]
        for opened in old:
            opened.close()
