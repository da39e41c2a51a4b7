import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest

from modules.common.errors import ConfigError
from modules.common.files import write_json
from modules.common.progress import ProgressEvent
from webui.jobs.output import read_output
from webui.jobs.panel import process_html
from webui.jobs.processes import SCRIPTS, Processes, ProcessStatus

COUNTER = """
import sys, time
from modules.common.progress import progress_bar
print("said 你好", flush=True)
try:
    for _ in progress_bar(range(int(sys.argv[1])), desc="<counting>", mininterval=0):
        time.sleep(0.02)
except KeyboardInterrupt:
    print("saved", flush=True)
    sys.exit(130)
print("done")
"""


@pytest.fixture
def processes(tmp_path):
    processes = Processes(tmp_path)
    yield processes
    for record in (tmp_path / "logs/webui").glob("*.json"):
        job = processes.job(record.stem)
        while job and job.alive:
            with suppress(ConfigError):  # it ended just now
                processes.stop(record.stem)
            time.sleep(0.05)
            job = processes.job(record.stem)


@pytest.fixture
def counter(tmp_path):
    path = tmp_path / "my counter.py"
    path.write_text(COUNTER, encoding="utf-8")
    return str(path)


def wait(processes, kind, done, seconds=20.0):
    end = time.monotonic() + seconds
    while not done(job := processes.job(kind)):
        assert time.monotonic() < end, job
        time.sleep(0.05)
    return job


def test_the_exit_code_is_known_as_soon_as_the_end(processes, monkeypatch):
    def slowly(path, values):
        if values["code"] is not None:
            time.sleep(0.5)  # as on a busy machine
        write_json(path, values)

    monkeypatch.setattr("webui.jobs.processes.write_json", slowly)
    job = processes.start("weights", "pretrain/__main__.py", ["mfcc", "world"])
    assert job.command == "python -m pretrain mfcc world"
    job = wait(processes, "weights", lambda job: not job.alive)
    assert job.status == "done" and "mfcc needs no download" in job.output


def test_the_message_of_a_failure_is_the_script_s(processes):
    processes.start("weights", "pretrain/__main__.py", ["no such part"])
    job = wait(processes, "weights", lambda job: not job.alive)
    assert job.status == "failed" and '"no such part"' in job.command
    assert "there is no 'no such part'; choose from" in job.message


def test_another_server_finds_it_with_its_progress(processes, counter, tmp_path):
    processes.start("counting", counter, ["1000"])
    reloaded = Processes(tmp_path)
    job = wait(reloaded, "counting", lambda job: job.progress and job.progress.done and job.progress.eta)
    assert job.status == "running" and job.alive
    assert job.progress.stage == "<counting>" and job.progress.total == 1000
    assert job.output == "said 你好"
    with pytest.raises(ConfigError, match="is running already"):
        reloaded.start("counting", counter, ["1"])
    reloaded.stop("counting")
    assert wait(reloaded, "counting", lambda job: not job.alive).status == "stopped"


def test_a_script_is_paused_and_resumed_and_saves_when_it_is_stopped(processes, counter):
    processes.start("counting", counter, ["1000"])
    wait(processes, "counting", lambda job: job.progress)
    processes.pause("counting")
    paused = wait(processes, "counting", lambda job: job.status == "paused")
    time.sleep(0.3)
    assert processes.job("counting").progress == paused.progress
    processes.resume("counting")
    wait(processes, "counting", lambda job: job.status == "running" and job.progress != paused.progress)
    processes.pause("counting")
    wait(processes, "counting", lambda job: job.status == "paused")
    processes.stop("counting")
    job = wait(processes, "counting", lambda job: not job.alive)
    assert job.status == "stopped" and job.message == "saved"


def ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_second_stop_kills_what_ignores_the_first(processes, tmp_path):
    deaf = tmp_path / "deaf.py"
    deaf.write_text(
        "import signal, subprocess, sys, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)"
    )
    processes.start("deaf", str(deaf))
    child = int(wait(processes, "deaf", lambda job: job.message).message)
    processes.stop("deaf")
    assert processes.job("deaf").status == "stopping"
    processes.stop("deaf")
    assert wait(processes, "deaf", lambda job: not job.alive).status == "stopped"
    end = time.monotonic() + 20.0  # a killed process may still be on its way out
    while not ended(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert ended(child)
    with pytest.raises(ConfigError, match="nothing is running"):
        processes.stop("deaf")


@pytest.mark.skipif(os.name != "posix", reason="there are no process groups")
def test_a_script_may_end_just_before_it_is_stopped(processes, counter, monkeypatch):
    def too_late(pid, number):
        psutil.Process(pid).kill()
        raise ProcessLookupError

    processes.start("counting", counter, ["1000"])
    monkeypatch.setattr(os, "killpg", too_late)
    processes.stop("counting")
    assert wait(processes, "counting", lambda job: not job.alive).status == "stopped"


def test_a_script_outlives_a_server_that_ignores_ctrl_c(counter, tmp_path, processes):
    server = (
        "import signal, pathlib\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from webui.jobs.processes import Processes\n"
        f"Processes(pathlib.Path({str(tmp_path)!r})).start('counting', {counter!r}, ['1000'])"
    )
    subprocess.run([sys.executable, "-c", server], cwd=SCRIPTS, check=True)
    assert wait(processes, "counting", lambda job: job.progress).status == "running"
    processes.stop("counting")
    job = wait(processes, "counting", lambda job: not job.alive)
    assert job.status == "stopped" and job.message == "saved"


def test_another_process_with_the_same_id_and_damaged_records(processes, counter):
    processes.start("counting", counter, ["0"])
    wait(processes, "counting", lambda job: not job.alive)
    record = processes.folder / "counting.json"
    values = json.loads(record.read_text(encoding="utf-8"))
    write_json(record, {**values, "pid": os.getpid(), "ended": 0.0, "code": None})
    assert processes.job("counting").status == "ended"
    for content in ("", "[]", "{}", '{"pid": "x"}', "\x00"):
        record.write_text(content)
        assert processes.job("counting") is None
    with pytest.raises(ConfigError, match="nothing is running"):
        processes.pause("counting")


def test_a_running_script_is_the_newest(processes, counter):
    assert processes.newest(["a", "b"]) is None
    processes.start("a", counter, ["1000"])
    processes.start("b", counter, ["0"])
    wait(processes, "b", lambda job: not job.alive)
    assert processes.newest(["a", "b"]).kind == "a"


def test_progress_events_are_not_lines(processes):
    first = ProgressEvent(stage="training", done=18, total=40, unit="step", eta=70.0, numbers={})
    last = replace(first, done=20, eta=3610.0, numbers={"epoch": "0", "total": "1.234"})
    processes.folder.mkdir(parents=True)
    log = processes.folder / "x.log"
    log.write_text(
        f"old\n12 clips\n{first.to_line()}\nold bar\rnew bar\n{last.to_line()}\n{{}}\n", newline=""
    )
    assert read_output(log) == (["old", "12 clips", "new bar", "{}"], last)
    with log.open("w") as file:
        file.writelines([f"{first.to_line()}\n"] * 10_000 + ["done"])  # only the end is read
    assert read_output(log) == (["done"], first)
    assert read_output(processes.folder / "none.log") == ([], None)


def test_progress_is_shown():
    event = ProgressEvent(
        stage="<x>", done=22.5e6, total=190e6, unit="B", eta=3610.0, numbers={"loss": "1.2"}
    )
    job = ProcessStatus("a", "a.py", "python a.py", "running", 0.0, 61.0, event, "a <message>", "")
    text = process_html(job, {"job.running": "running", "job.left": "left"}.__getitem__)
    assert "&lt;x&gt; · 22.5M/190M · 1:00:10 left · loss=1.2" in text and "1:01 · 12% · " in text
    assert 'role="progressbar"' in text and "a &lt;message&gt;" in text
    text = process_html(replace(job, progress=replace(event, total=None, unit="step", eta=None, done=7)), str)
    assert "&lt;x&gt; · 7 · loss=1.2" in text and "progressbar" not in text
