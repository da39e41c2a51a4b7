"""Scripts as separate processes, which outlive the page and even the server.

Their state is in files: ``logs/webui/<kind>.json`` identifies the process, and
``<kind>.log`` holds its output. At most one process of a kind runs at a time.
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
from contextlib import suppress
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
_SAME_BIRTH = 2.0  # s between start times from which on a process ID has been reused
_WAIT_FOR_CODE = 1.0  # s, at most, from the end of a child until its exit code is saved
# ignored signals stay ignored in children, and a server that was started in the background ignores Ctrl-C
_ENABLE_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True)
class ProcessRecord:
    """Content of ``<kind>.json``; times are in s since 1970."""

    script: str  # path under the project, as "train.py"
    arguments: tuple[str, ...]
    pid: int
    born: float  # start time of the process, which tells it from a later one with the same ID
    started: float  # time of the request to start it
    stops: int = 0  # number of requests to stop
    ended: float = 0.0  # time of its end; 0 while it runs, or if the server was not running then
    code: int | None = None  # exit code, if known


@dataclass(frozen=True)
class ProcessStatus:
    """Status of one process."""

    script: str  # path under the project
    command: str  # the same as a command line to type
    status: str  # "running" to "failed" as above, or "ended" if the exit code is not known
    seconds: float  # since the start, or until the end, with pauses
    progress: ProgressEvent | None  # the newest one, if any
    message: str  # last line of its output
    output: str  # the end of it

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.status in ALIVE


class ScriptProcess:
    """The running or newest process of one kind, which names its files, in a project folder."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root = root
        self.record, self._log = (root / "logs" / "webui" / f"{kind}.{end}" for end in ("json", "log"))
        self._lock = threading.RLock()
        self._waiting: threading.Thread | None = None  # for the end of a child process

    def start(self, script: str, arguments: Sequence[str] = ()) -> None:
        """Start a script of this project; raises ConfigError if one of this kind is running."""
        with self._lock:
            job = self.status()
            if job and job.alive:
                raise ConfigError(f"{job.script} is running already; stop it, or wait until it is done")
            self._log.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-u", str(SCRIPTS / script), *arguments]
            if os.name == "posix" and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                command = [sys.executable, "-c", _ENABLE_CTRL_C, *command]
            with self._log.open("wb") as log:
                child = subprocess.Popen(
                    command,
                    cwd=self.root,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=os.name == "posix",  # no Ctrl-C from the server's terminal
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
            now = time.time()
            try:
                born = psutil.Process(child.pid).create_time()
            except psutil.Error:  # it has ended
                born = now
            self._save(ProcessRecord(script, tuple(arguments), child.pid, born, now))
            self._waiting = threading.Thread(target=self._wait, args=(child,), daemon=True)
            self._waiting.start()

    def status(self) -> ProcessStatus | None:
        """Status of the newest process; None if there has been none."""
        record = self._load()
        if record is None:
            return None
        if record.code is None and not record.ended and self._waiting and _process(record) is None:
            self._waiting.join(_WAIT_FOR_CODE)
            record = self._load() or record
        status = _status(record)
        end = time.time() if status in ALIVE else record.ended or self._last_output(record)
        lines, progress = read_output(self._log)
        return ProcessStatus(
            script=record.script,
            command=_as_typed(record),
            status=status,
            seconds=max(0.0, end - record.started),
            progress=progress,
            message=lines[-1].strip() if lines else "",
            output="\n".join(lines),
        )

    def pause(self) -> None:
        """Suspend the process, which keeps its memory; raises ConfigError if none is running."""
        for process in self._tree():
            _quietly(process.suspend)

    def resume(self) -> None:
        """Resume a paused process; raises ConfigError if none is running."""
        for process in reversed(self._tree()):
            _quietly(process.resume)

    def stop(self) -> None:
        """Ask the process to save and end, as Ctrl-C does; the second time, kill it.

        On Windows, which has no Ctrl-C for other processes, a training loses what
        follows its last checkpoint.

        Raises:
            ConfigError: None of this kind is running.
        """
        with self._lock:
            tree, record = self._tree(), self._load()
            assert record
            self._save(replace(record, stops=record.stops + 1))
            for process in reversed(tree):
                _quietly(process.resume)  # a suspended process receives no signal
            if record.stops:
                for process in tree:
                    _quietly(process.kill)
            elif os.name == "posix":
                _quietly(lambda: os.killpg(record.pid, signal.SIGINT))  # as a terminal does
            else:
                for process in tree:
                    _quietly(process.terminate)

    def _tree(self) -> list[psutil.Process]:
        """The process and its descendants; raises ConfigError if none is running."""
        record = self._load()
        process = _process(record) if record else None
        if process is None:
            raise ConfigError("nothing is running here; it may have ended a moment ago")
        try:
            return [process, *process.children(recursive=True)]
        except psutil.Error:
            return [process]

    def _wait(self, child: subprocess.Popen[bytes]) -> None:
        """Save the exit code of a child, which only its parent gets."""
        code = child.wait()
        with self._lock:
            record = self._load()
            if record and record.pid == child.pid:
                with suppress(OSError):  # no space left, or no folder: the code stays unknown
                    self._save(replace(record, ended=time.time(), code=code))

    def _last_output(self, record: ProcessRecord) -> float:
        try:
            return self._log.stat().st_mtime
        except OSError:
            return record.started

    def _save(self, record: ProcessRecord) -> None:
        write_json(self.record, asdict(record))

    def _load(self) -> ProcessRecord | None:
        try:
            values = json.loads(self.record.read_text(encoding="utf-8"))
            return ProcessRecord(**{**values, "arguments": tuple(values["arguments"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _status(record: ProcessRecord) -> str:
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


def _process(record: ProcessRecord) -> psutil.Process | None:
    """The process of ``record`` if it is alive, not another one that reuses its ID."""
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


def _as_typed(record: ProcessRecord) -> str:
    folder, _, file = record.script.rpartition("/")
    program = f"-m {folder}" if file == "__main__.py" else record.script
    words = [f'"{word}"' if not word or set(word) & set(" &;()'*?$") else word for word in record.arguments]
    return " ".join(["python", program, *words])


def _quietly(action: Callable[[], object]) -> None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it ended meanwhile
        action()
