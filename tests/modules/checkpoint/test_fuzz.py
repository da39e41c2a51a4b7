"""Broken model files end in one clear error each, whatever is broken; see tests/support/fuzzing.py."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

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


def test_each_ends_in_time_in_bounded_memory_and_in_one_line_that_names_the_file(results):
    assert len(results) == N_FILES
    assert [result for result in results if result["ended"] != "well" or result["seconds"] > 10] == []
    if sys.platform == "linux":  # the peak of a process is read from /proc
        assert [result for result in results if result["grown"] > 2 * result["size"] + ROOM] == []
    messages = [(result["number"], message) for result in results for message in result["refused"]]
    assert [m for n, m in messages if f"{n}.pth " not in m or "\n" in m or len(m) > 600] == []
    assert len(messages) > 1.4 * N_FILES  # most are broken for both loaders


def test_all_kinds_are_there_and_cut_files_are_refused(results):
    kinds = {result["kind"].partition(" of ")[0].strip() for result in results[len(DOS_PAYLOADS) :]}
    assert len(kinds) == 8 and DOS_PAYLOADS.keys() <= {result["kind"] for result in results}
    # a tar ends in zeros that are not missed
    cut = [
        result for result in results if result["kind"].startswith("a part of") and "tar" not in result["kind"]
    ]
    assert len(cut) > 20 and all(len(result["refused"]) == 2 for result in cut)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
def test_a_crash_an_error_a_wait_and_a_leak_would_be_noticed():
    acts: list[Callable[[], object]] = [
        lambda: os.kill(os.getpid(), 9),
        lambda: 1 // 0,
        lambda: time.sleep(0.2),
        # a kernel that takes memory back meanwhile may hide one peak, and hardly three
        *3 * [lambda: len(bytes(bytearray(100 << 20)))],
        lambda: None,
    ]
    crash, error, wait, *leaks, nothing = in_children(lambda act: [str(act())[:9]], acts)
    leak = max(leaks, key=lambda result: result["grown"])
    assert crash["ended"] == "by signal 9"
    assert "ZeroDivisionError" in error["ended"]
    assert wait["seconds"] >= 0.2 and wait["ended"] == leak["ended"] == nothing["ended"] == "well"
    if sys.platform == "linux":
        assert leak["grown"] > 90 << 20 > 20 << 20 > nothing["grown"]
