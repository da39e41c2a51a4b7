import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest

from modules.common.errors import ConfigError
from webui.jobs.output import split_output
from webui.jobs.processes import SCRIPTS, Processes

COUNTER = """
import signal, sys, time
from tqdm import tqdm
print("said 你好", flush=True)
try:
    for _ in tqdm(range(int(sys.argv[1])), desc="counting", mininterval=0):
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


def test_a_script_runs_to_its_end(processes):
    job = processes.start("weights", "pretrain/__main__.py", ["mfcc", "world"])
    assert job.command == "python -m pretrain mfcc world"
    job = wait(processes, "weights", lambda job: not job.alive)
    assert job.status == "done", job.output
    assert "mfcc needs no download" in job.output


def test_the_exit_code_is_known_as_soon_as_the_end(processes, monkeypatch):
    enter = processes._save

    def slowly(kind, record):
        if record.code is not None:
            time.sleep(0.5)  # as on a busy machine
        enter(kind, record)

    monkeypatch.setattr(processes, "_save", slowly)
    processes.start("weights", "pretrain/__main__.py", ["mfcc"])
    assert wait(processes, "weights", lambda job: not job.alive).status == "done"


def test_what_goes_wrong_is_the_script_s_own_sentence(processes):
    processes.start("weights", "pretrain/__main__.py", ["no such part"])
    job = wait(processes, "weights", lambda job: not job.alive)
    assert job.status == "failed" and '"no such part"' in job.command
    assert "there is no 'no such part'; choose from" in job.message


def test_another_server_finds_it_with_its_progress(processes, counter, tmp_path):
    processes.start("counting", counter, ["1000"])
    reloaded = Processes(tmp_path)
    job = wait(reloaded, "counting", lambda job: job.bar and job.bar.share and job.bar.left)
    assert job.status == "running" and job.alive
    assert job.bar.name == "counting" and job.bar.count.endswith("/1000")
    assert job.output == "said 你好"
    with pytest.raises(ConfigError, match="is running already"):
        reloaded.start("counting", counter, ["1"])
    reloaded.stop("counting")
    assert wait(reloaded, "counting", lambda job: not job.alive).status == "stopped"


def test_pause_holds_it_and_resume_lets_it_go_on(processes, counter):
    processes.start("counting", counter, ["1000"])
    wait(processes, "counting", lambda job: job.bar)
    processes.pause("counting")
    paused = wait(processes, "counting", lambda job: job.status == "paused")
    time.sleep(0.3)
    assert processes.job("counting").bar == paused.bar
    processes.resume("counting")
    wait(processes, "counting", lambda job: job.status == "running" and job.bar != paused.bar)


@pytest.mark.parametrize("paused", [False, True])
def test_stop_is_ctrl_c_so_it_saves(processes, counter, paused):
    processes.start("counting", counter, ["1000"])
    wait(processes, "counting", lambda job: job.bar)
    if paused:
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


def test_a_second_stop_ends_what_does_not_listen(processes, tmp_path):
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
def test_a_script_that_ends_while_it_is_stopped_has_ended(processes, counter, monkeypatch):
    processes.start("counting", counter, ["0"])
    wait(processes, "counting", lambda job: not job.alive)
    own = processes._load("counting")
    # the end comes between the look and the signal
    monkeypatch.setattr(processes, "_tree", lambda kind: [psutil.Process()])
    processes._save("counting", replace(own, pid=2**22 + 1, code=None, ended=0.0))
    processes.stop("counting")
    assert processes.job("counting").status == "stopped"


def test_it_outlives_the_server_and_heeds_ctrl_c_though_the_server_ignores_it(counter, tmp_path, processes):
    server = (
        "import signal, pathlib\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from webui.jobs.processes import Processes\n"
        f"Processes(pathlib.Path({str(tmp_path)!r})).start('counting', {counter!r}, ['1000'])"
    )
    subprocess.run([sys.executable, "-c", server], cwd=SCRIPTS, check=True)
    assert wait(processes, "counting", lambda job: job.bar).status == "running"
    processes.stop("counting")
    job = wait(processes, "counting", lambda job: not job.alive)
    assert job.status == "stopped" and job.message == "saved"


def test_a_number_that_another_process_has_now_is_not_it(processes, counter):
    processes.start("counting", counter, ["0"])
    wait(processes, "counting", lambda job: not job.alive)
    own = processes._load("counting")
    processes._save("counting", replace(own, pid=os.getpid(), ended=0.0, code=None))
    assert processes.job("counting").status == "ended"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": "x"}', "\x00"])
def test_a_damaged_record_is_none(processes, content):
    processes.folder.mkdir(parents=True)
    (processes.folder / "counting.json").write_text(content)
    assert processes.job("counting") is None
    with pytest.raises(ConfigError, match="nothing is running"):
        processes.pause("counting")


def test_the_newest_is_the_one_that_runs(processes, counter):
    assert processes.newest(["a", "b"]) is None
    processes.start("a", counter, ["1000"])
    processes.start("b", counter, ["0"])
    wait(processes, "b", lambda job: not job.alive)
    assert processes.newest(["a", "b"]).kind == "a"


def test_bars_are_told_from_lines():
    text = (
        "12 clips\n\rtraining:   0%|          | 0/40 [00:00<?, ?step/s]"
        "\rtraining:  45%|####5     | 18/40 [01:10<00:12,  1.10s/step, epoch=0, total=1.234]"
        "\r                \rstep 10: validation val_loss 1.000\n"
        "\rtraining:  50%|#####     | 20/40 [01:20<1:00:10,  1.10s/step, epoch=0]"
    )
    lines, bar = split_output(text)
    assert [line for line in lines if line] == ["12 clips", "step 10: validation val_loss 1.000"]
    assert (bar.name, bar.share, bar.count, bar.left) == ("training", 0.5, "20/40", "1:00:10")
    assert bar.more == "1.10s/step, epoch=0"
    assert split_output("7step [00:10, 1.5step/s]")[1].count == "7step"
    assert split_output("hubert.pt:  12%|# | 22.5M/190M [00:02<00:18, 9.1MB/s]")[1].count == "22.5M/190M"
    assert split_output("no bar | 3/4 [x]")[1] is None
