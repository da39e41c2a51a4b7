"""Broken model files end in one clear error each, whatever is broken; see tests/support/fuzzing.py."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.support.dos_payloads import DOS_PAYLOADS
from tests.support.fuzzing import N_FILES, ROOM, in_children

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, for a process per file")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    script = [sys.executable, "-W", "ignore", "-m", "tests.support.fuzzing", str(folder), "0", str(N_FILES)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_none_crashes_hangs_or_ends_in_another_error(results):
    assert len(results) == N_FILES
    assert [result for result in results if result["ended"] != "well"] == []
    assert [result for result in results if result["seconds"] > 10] == []


def test_each_message_is_one_line_that_names_the_file(results):
    messages = [(result["number"], message) for result in results for message in result["refused"]]
    assert [m for n, m in messages if f"{n}.pth " not in m or "\n" in m or len(m) > 600] == []
    assert len(messages) > 1.4 * N_FILES  # most are broken for both loaders


def test_memory_is_bounded_by_the_size_of_the_file(results):
    if sys.platform != "linux":
        pytest.skip("the peak of a process is read from /proc")
    large = [result for result in results if result["grown"] > 2 * result["size"] + ROOM]
    assert large == []


def test_all_kinds_are_there_and_cut_files_are_refused(results):
    for kind in DOS_PAYLOADS:
        assert any(result["kind"] == kind for result in results)
    kinds = {result["kind"].partition(" of ")[0].strip() for result in results[len(DOS_PAYLOADS) :]}
    assert len(kinds) == 8
    # a tar ends in zeros that are not missed
    cut = [
        result for result in results if result["kind"].startswith("a part of") and "tar" not in result["kind"]
    ]
    assert len(cut) > 20 and all(len(result["refused"]) == 2 for result in cut)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
def test_a_crash_an_error_a_wait_and_a_leak_would_be_noticed():
    work = {
        "crash": lambda: os.kill(os.getpid(), 9),
        "error": lambda: 1 // 0,
        "wait": lambda: time.sleep(0.2),
        "leak": lambda: len(bytes(bytearray(100 << 20))),
        "nothing": lambda: None,
    }

    # a kernel that takes memory back meanwhile may hide one peak, and hardly three
    names = ["crash", "error", "wait", "leak", "leak", "leak", "nothing"]
    crash, error, wait, *leaks, nothing = in_children(lambda name: [str(work[name]())[:9]], names)
    leak = max(leaks, key=lambda result: result["grown"])
    assert crash["ended"] == "by signal 9"
    assert "ZeroDivisionError" in error["ended"]
    assert wait["seconds"] >= 0.2 and wait["ended"] == leak["ended"] == nothing["ended"] == "well"
    if sys.platform == "linux":
        assert leak["grown"] > 90 << 20 > 20 << 20 > nothing["grown"]
