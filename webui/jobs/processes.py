"""The numbered scripts as processes of their own, which outlive the page and even the server.

A page is reloaded, a browser is closed, a laptop sleeps: a training must not
notice. What runs is therefore known from files: ``logs/webui/<kind>.json`` says
which process it is, ``<kind>.log`` holds all it has said. At most one process
of a kind runs at a time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from modules.common.errors import ConfigError
from modules.common.files import write_json
from modules.common.progress import VARIABLE, ProgressEvent
from webui.jobs.output import read_output

SCRIPTS = Path(__file__).resolve().parents[2]
RUNNING, PAUSED, STOPPING = "running", "paused", "stopping"
DONE, STOPPED, FAILED, ENDED = "done", "stopped", "failed", "ended"
ALIVE = {RUNNING, PAUSED, STOPPING}

_INTERRUPTED = {130, -signal.SIGINT, -signal.SIGTERM, -getattr(signal, "SIGKILL", 9)}
_SAME_BIRTH = 2.0  # s; processes of one number that began further apart are not the same
_ENTERED = 1.0  # s, at most, between the end of a child and the entry of its exit code
# ignored signals stay ignored in children, and a server that was started in the background ignores Ctrl-C
_HEED_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True)
class Record:
    """What ``<kind>.json`` holds.

    Attributes:
        script: Its path under the project, as "train.py".
        arguments: Its command line.
        pid: Number of the process.
        born: When the process began, s since 1970: numbers are used again.
        started: When it was asked for, s since 1970.
        stops: How often it was asked to stop.
        ended: When it ended, s since 1970; 0 while it runs, or if nobody saw its end.
        code: Its exit code, if somebody saw it.
    """

    script: str
    arguments: tuple[str, ...]
    pid: int
    born: float
    started: float
    stops: int = 0
    ended: float = 0.0
    code: int | None = None


@dataclass(frozen=True)
class Job:
    """One process as a page shows it.

    Attributes:
        kind: What it is one of.
        script: Its path under the project.
        command: What one would type to run the same.
        status: "running", "paused", "stopping", "done", "stopped", "failed", or
            "ended" when nobody saw how.
        seconds: How long it has been running, or ran; pauses count.
        progress: How far it is; None if it has not reported that.
        message: The last line that it said.
        output: The end of what it said, without progress bars.
    """

    kind: str
    script: str
    command: str
    status: str
    seconds: float
    progress: ProgressEvent | None
    message: str
    output: str

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in ALIVE


class Processes:
    """The processes of one project folder.

    Args:
        root: The project folder, where scripts run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "logs" / "webui"
        self._lock = threading.RLock()
        self._waiting: dict[str, threading.Thread] = {}  # for the end of a child, by kind

    def start(self, kind: str, script: str, arguments: Sequence[str] = ()) -> Job:
        """Start ``script`` of this project, with its output in a file.

        Raises:
            ConfigError: One of this kind is running.
        """
        with self._lock:
            job = self.job(kind)
            if job and job.alive:
                raise ConfigError(f"{job.script} is running already; stop it, or wait until it is done")
            self.folder.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-u", str(SCRIPTS / script), *arguments]
            if os.name == "posix" and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                command = [sys.executable, "-c", _HEED_CTRL_C, *command]
            with open(self._log(kind), "wb") as log:
                child = subprocess.Popen(
                    command,
                    cwd=self.root,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=os.name == "posix",  # Ctrl-C in the server's terminal is not for it
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
            now = time.time()
            try:
                born = psutil.Process(child.pid).create_time()
            except psutil.Error:  # over already
                born = now
            self._save(kind, Record(script, tuple(arguments), child.pid, born, now))
            waiting = threading.Thread(target=self._wait, args=(kind, child), daemon=True)
            self._waiting[kind] = waiting
            waiting.start()
        started = self.job(kind)
        assert started
        return started

    def job(self, kind: str) -> Job | None:
        """Return how the last process of this kind fares; None if there has been none."""
        record = self._load(kind)
        if record is None:
            return None
        if record.code is None and not record.ended and kind in self._waiting and _process(record) is None:
            self._waiting[kind].join(_ENTERED)  # it has ended, and its exit code is about to be entered
            record = self._load(kind) or record
        status = _status(record)
        end = time.time() if status in ALIVE else record.ended or self._last_said(kind, record)
        lines, progress = read_output(self._log(kind))
        return Job(
            kind=kind,
            script=record.script,
            command=_as_typed(record),
            status=status,
            seconds=max(0.0, end - record.started),
            progress=progress,
            message=lines[-1].strip() if lines else "",
            output="\n".join(lines),
        )

    def newest(self, kinds: Sequence[str]) -> Job | None:
        """Return, of several kinds, the job that runs, else the one that was started last."""
        jobs = [(job.alive, self._started(kind), job) for kind in kinds if (job := self.job(kind))]
        return max(jobs, key=lambda entry: entry[:2])[2] if jobs else None

    def pause(self, kind: str) -> None:
        """Halt the process where it is; it keeps its memory.

        Raises:
            ConfigError: None of this kind is running.
        """
        for process in self._tree(kind):
            _quietly(process.suspend)

    def resume(self, kind: str) -> None:
        """Let a paused process go on; raises ConfigError as :meth:`pause`."""
        for process in reversed(self._tree(kind)):
            _quietly(process.resume)

    def stop(self, kind: str) -> None:
        """Ask the process to save and end, as Ctrl-C does; asked again, end it at once.

        Where there is no Ctrl-C for other processes (Windows) a training loses
        what it did since its last checkpoint.

        Raises:
            ConfigError: None of this kind is running.
        """
        with self._lock:
            tree, record = self._tree(kind), self._load(kind)
            assert record
            self._save(kind, replace(record, stops=record.stops + 1))
            for process in reversed(tree):
                _quietly(process.resume)  # who sleeps hears nothing
            if record.stops:
                for process in tree:
                    _quietly(process.kill)
            elif os.name == "posix":
                _quietly(lambda: os.killpg(record.pid, signal.SIGINT))  # to all of them, as a terminal does
            else:
                _quietly(tree[0].terminate)

    def _tree(self, kind: str) -> list[psutil.Process]:
        """Return the process and those that it started; raises ConfigError if there is none."""
        record = self._load(kind)
        process = _process(record) if record else None
        if process is None:
            raise ConfigError("nothing is running here; it may have ended a moment ago")
        try:
            return [process, *process.children(recursive=True)]
        except psutil.Error:
            return [process]

    def _wait(self, kind: str, child: subprocess.Popen[bytes]) -> None:
        """Enter the exit code of a child, which only its parent gets to know."""
        code = child.wait()
        with self._lock:
            record = self._load(kind)
            if record and record.pid == child.pid:
                try:
                    self._save(kind, replace(record, ended=time.time(), code=code))
                except OSError:  # no space, or the folder is gone: then nobody knows
                    pass

    def _log(self, kind: str) -> Path:
        return self.folder / f"{kind}.log"

    def _started(self, kind: str) -> float:
        record = self._load(kind)
        return record.started if record else 0.0

    def _last_said(self, kind: str, record: Record) -> float:
        try:
            return self._log(kind).stat().st_mtime
        except OSError:
            return record.started

    def _save(self, kind: str, record: Record) -> None:
        write_json(self.folder / f"{kind}.json", asdict(record))

    def _load(self, kind: str) -> Record | None:
        try:
            values = json.loads((self.folder / f"{kind}.json").read_text(encoding="utf-8"))
            return Record(**{**values, "arguments": tuple(values["arguments"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _status(record: Record) -> str:
    process = _process(record) if record.code is None and not record.ended else None
    if process is not None:
        if record.stops:
            return STOPPING
        try:
            return PAUSED if process.status() == psutil.STATUS_STOPPED else RUNNING
        except psutil.Error:
            return ENDED
    if record.code is None:
        return STOPPED if record.stops else ENDED
    if record.code == 0:
        return DONE
    return STOPPED if record.stops and (record.code in _INTERRUPTED or os.name != "posix") else FAILED


def _process(record: Record) -> psutil.Process | None:
    """Return the process of ``record`` if it is alive, and not another one with its number."""
    try:
        process = psutil.Process(record.pid)
        if abs(process.create_time() - record.born) > _SAME_BIRTH or process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process
    except psutil.Error:
        return None


def _environment() -> dict[str, str]:
    paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUTF8": "1",
        VARIABLE: "json",
        "TQDM_MININTERVAL": "1",  # s between two progress events: a day of training should not fill the disk
    }


def _as_typed(record: Record) -> str:
    folder, _, file = record.script.rpartition("/")
    program = f"-m {folder}" if file == "__main__.py" else record.script
    words = [f'"{word}"' if not word or set(word) & set(" &;()'*?$") else word for word in record.arguments]
    return " ".join(["python", program, *words])


def _quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except (psutil.NoSuchProcess, ProcessLookupError):  # ended between two lines
        pass
