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
from tests.support.processes import wait_until
from webui.jobs.output import read_output
from webui.jobs.panel import process_html
from webui.jobs.processes import SCRIPTS, ProcessStatus, ScriptProcess

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
def process(tmp_path):
    process = ScriptProcess(tmp_path, "job")
    yield process
    while (job := process.status()) and job.alive:
        with suppress(ConfigError):  # it ended just now
            process.stop()
        time.sleep(0.05)


@pytest.fixture
def counter(tmp_path):
    path = tmp_path / "my counter.py"
    path.write_text(COUNTER, encoding="utf-8")
    return str(path)


def wait(process, done):
    wait_until(lambda: done(process.status()))
    return process.status()


def end(process):
    return wait(process, lambda job: not job.alive)


def test_the_exit_code_and_the_last_message_are_known_as_soon_as_the_end(process, monkeypatch):
    def slowly(path, values):
        if values["code"] is not None:
            time.sleep(0.5)  # as on a busy machine
        write_json(path, values)

    monkeypatch.setattr("webui.jobs.processes.write_json", slowly)
    process.start("pretrain/__main__.py", ["mfcc", "world"])
    job = end(process)
    assert job.command == "python -m pretrain mfcc world"
    assert job.status == "done" and "mfcc needs no download" in job.output
    process.start("pretrain/__main__.py", ["no such part"])
    job = end(process)
    assert job.status == "failed" and '"no such part"' in job.command
    assert "there is no 'no such part'; choose from" in job.message


def test_another_server_finds_it_with_its_progress(process, counter, tmp_path):
    process.start(counter, ["1000"])
    reloaded = ScriptProcess(tmp_path, "job")
    job = wait(reloaded, lambda job: job.progress and job.progress.done and job.progress.eta)
    assert job.status == "running" and job.alive
    assert job.progress.stage == "<counting>" and job.progress.total == 1000
    assert job.output == "said 你好"
    with pytest.raises(ConfigError, match="is running already"):
        reloaded.start(counter, ["1"])
    reloaded.stop()
    assert end(reloaded).status == "stopped"


def test_a_script_is_paused_and_resumed_and_saves_when_it_is_stopped(process, counter):
    process.start(counter, ["1000"])
    wait(process, lambda job: job.progress)
    process.pause()
    paused = wait(process, lambda job: job.status == "paused")
    time.sleep(0.3)
    assert process.status().progress == paused.progress
    process.resume()
    wait(process, lambda job: job.status == "running" and job.progress != paused.progress)
    process.pause()
    wait(process, lambda job: job.status == "paused")
    process.stop()
    job = end(process)
    assert job.status == "stopped" and job.message == "saved"


def ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_second_stop_kills_what_ignores_the_first(process, tmp_path):
    deaf = tmp_path / "deaf.py"
    deaf.write_text(
        "import signal, subprocess, sys, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)"
    )
    process.start(str(deaf))
    child = int(wait(process, lambda job: job.message).message)
    process.stop()
    assert process.status().status == "stopping"
    process.stop()
    assert end(process).status == "stopped"
    wait_until(lambda: ended(child))  # a killed process may still be on its way out
    with pytest.raises(ConfigError, match="nothing is running"):
        process.stop()


@pytest.mark.skipif(os.name != "posix", reason="there are no process groups")
def test_a_script_may_end_just_before_it_is_stopped(process, counter, monkeypatch):
    def too_late(pid, number):
        psutil.Process(pid).kill()
        raise ProcessLookupError

    process.start(counter, ["1000"])
    monkeypatch.setattr(os, "killpg", too_late)
    process.stop()
    assert end(process).status == "stopped"


def test_a_script_outlives_a_server_that_ignores_ctrl_c(counter, tmp_path, process):
    server = (
        "import signal, pathlib\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from webui.jobs.processes import ScriptProcess\n"
        f"ScriptProcess(pathlib.Path({str(tmp_path)!r}), 'job').start({counter!r}, ['1000'])"
    )
    subprocess.run([sys.executable, "-c", server], cwd=SCRIPTS, check=True)
    assert wait(process, lambda job: job.progress).status == "running"
    process.stop()
    job = end(process)
    assert job.status == "stopped" and job.message == "saved"


def test_another_process_with_the_same_id_and_damaged_records(process, counter):
    process.start(counter, ["0"])
    end(process)
    values = json.loads(process.record.read_text(encoding="utf-8"))
    write_json(process.record, {**values, "pid": os.getpid(), "ended": 0.0, "code": None})
    assert process.status().status == "ended"
    for content in ("", "[]", "{}", '{"pid": "x"}', "\x00"):
        process.record.write_text(content)
        assert process.status() is None
    with pytest.raises(ConfigError, match="nothing is running"):
        process.pause()


EVENT = ProgressEvent(stage="<x>", done=22.5e6, total=190e6, unit="B", eta=3610.0, numbers={"loss": "1.2"})


def test_progress_events_are_shown_and_are_not_lines(tmp_path):
    log, last = tmp_path / "x.log", replace(EVENT, done=23e6, eta=70.0)
    log.write_text(
        f"old\n12 clips\n{EVENT.to_line()}\nold bar\rnew bar\n{last.to_line()}\n{{}}\n", newline=""
    )
    assert read_output(log) == (["old", "12 clips", "new bar", "{}"], last)
    with log.open("w") as file:
        file.writelines([f"{EVENT.to_line()}\n"] * 10_000 + ["done"])  # only the end is read
    assert read_output(log) == (["done"], EVENT)
    assert read_output(tmp_path / "none.log") == ([], None)
    job = ProcessStatus("a.py", "python a.py", "running", 61.0, EVENT, "a <message>", "")
    text = process_html(job, {"job.running": "running", "job.left": "left"}.__getitem__)
    assert "&lt;x&gt; · 22.5M/190M · 1:00:10 left · loss=1.2" in text and "1:01 · 12% · " in text
    assert 'role="progressbar"' in text and "a &lt;message&gt;" in text
    text = process_html(replace(job, progress=replace(EVENT, total=None, unit="step", eta=None, done=7)), str)
    assert "&lt;x&gt; · 7 · loss=1.2" in text and "progressbar" not in text
