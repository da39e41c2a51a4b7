"""Parents of real processes, asked to end and killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from modules.common import children
from modules.common.children import PARENT, child_environment, end_signals, wait_for
from tests.support.processes import start_interruptible, wait_until

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

SCRIPT = """
import sys, time
from pathlib import Path
from modules.common.cli import entry_point

@entry_point
def main(argv=None):
    Path("ready").write_text(__import__("os").environ.get("GLOW_SVC_PARENT", "none"))
    time.sleep(60)
    return 0

sys.exit(main([]))
"""
PARENT_OF_SCRIPT = """
import subprocess, sys
from modules.common.children import child_environment
subprocess.Popen([sys.executable, "script.py"], env=child_environment(), start_new_session=True).wait()
"""
PARENT_OF_POOL = """
import os, sys, time
from pathlib import Path
from modules.common.parallel import run

def work(number):
    Path(f"ready {os.getpid()}").touch()
    time.sleep(0.2)

if __name__ == "__main__":
    list(run(work, range(1000), 2))
"""


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def started(folder, code, *ready):
    (folder / "parent.py").write_text(code)
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=folder, env=ENVIRONMENT)
    wait_until(lambda: len(list(folder.glob("ready*"))) == len(ready), parent)
    return parent, psutil.Process(parent.pid).children(recursive=True)


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_script_ends_with_a_parent_that_cannot_tell_it(tmp_path, end):
    (tmp_path / "script.py").write_text(SCRIPT)
    parent, family = started(tmp_path, PARENT_OF_SCRIPT, "script")
    assert family
    getattr(parent, end)()
    parent.wait()
    wait_until(lambda: all(map(gone, family)), seconds=30)


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_pool_ends_with_its_parent(tmp_path, end):
    parent, family = started(tmp_path, PARENT_OF_POOL, 1, 2)
    workers = [p for p in family if f"ready {p.pid}" in {path.name for path in tmp_path.glob("ready *")}]
    assert len(workers) == 2
    getattr(parent, end)()
    parent.wait()
    wait_until(lambda: all(map(gone, workers)), seconds=30)


def test_a_script_that_nobody_started_watches_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "end_with", lambda pid: pytest.fail("it watches"))
    monkeypatch.delenv(PARENT, raising=False)
    children.watch_parent()
    assert child_environment()[PARENT] == str(os.getpid())


def child(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def test_the_others_end_with_the_one_that_fails(monkeypatch):
    sleep = "import time; time.sleep(60)"
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {sleep}"
    assert wait_for([child(""), child("")]) == 0
    monkeypatch.setattr(children, "GRACE", 1.0)
    family = [child("import sys, time; time.sleep(0.5); sys.exit(3)"), child(sleep), child(deaf)]
    assert wait_for(family) == 3
    assert all(process.returncode for process in family)


@posix
def test_a_terminal_that_closes_ends_what_nohup_does_not_protect(monkeypatch):
    code = "from modules.common.children import *; print(signal.SIGHUP in end_signals())"
    for nohup, answer in ((False, "True"), (True, "False")):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
        assert (signal.SIGHUP in end_signals()) is not nohup
        done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
        signal.signal(signal.SIGHUP, before)
        assert done.stdout.strip() == answer, done.stderr


SAVES = """
import sys, time
from pathlib import Path
from training.interrupt import StopRequest
with StopRequest() as stop:
    Path(f"ready{sys.argv[1]}").touch()
    while not stop.requested:
        time.sleep(0.02)
    time.sleep(float(sys.argv[1]))
    Path(f"saved{sys.argv[1]}").touch()
sys.exit(130)
"""
WAITS = """
import subprocess, sys
from modules.common.children import wait_for
try:
    wait_for([subprocess.Popen([sys.executable, "saves.py", wait], start_new_session=True) for wait in "02"])
except KeyboardInterrupt:
    sys.exit(77)
"""


@posix
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_children_that_are_asked_to_end_have_time_to_save(tmp_path, number):
    """One is done at once, the other takes its time; a system that shuts down asks them as well."""
    (tmp_path / "saves.py").write_text(SAVES)
    (tmp_path / "waits.py").write_text(WAITS)
    parent = start_interruptible([sys.executable, "waits.py"], cwd=tmp_path, env=ENVIRONMENT)
    wait_until(lambda: len(list(tmp_path.glob("ready*"))) == 2, parent)
    for process in [*psutil.Process(parent.pid).children(), parent]:
        process.send_signal(getattr(signal, number))
    assert parent.wait(60) == 77
    assert {path.name for path in tmp_path.glob("saved*")} == {"saved0", "saved2"}
