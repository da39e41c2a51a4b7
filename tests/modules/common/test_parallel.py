import os
import sys

import pytest
import torch

from modules.common.errors import AudioError, GlowSVCError
from modules.common.parallel import process_count, run

offset = 0


def set_up(value):
    global offset
    offset = value


def add(item):
    return item + offset


def threads(item):
    return torch.get_num_threads()


def fail(item):
    raise AudioError(f"item {item}")


def die(item):
    os._exit(9)


def test_one_process_keeps_the_order_several_are_set_up_and_a_dead_one_is_explained():
    assert list(run(add, [1, 2, 3], 1, set_up, (10,))) == [11, 12, 13]
    assert sorted(run(add, [1, 2, 3], 2, set_up, (10,))) == [11, 12, 13]
    assert list(run(add, [], 0, fail, (0,))) == []  # without work, nothing is set up either
    with pytest.raises(AudioError, match="item"):
        list(run(fail, [1, 2], 2))
    with pytest.raises(GlowSVCError, match="num_processes"):
        list(run(die, [1, 2], 2))


def test_each_process_has_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert list(run(threads, [1, 2], 2, set_up, (10,))) == [1, 1]


def test_process_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 5}, raising=False)
    assert process_count(0, 1000) == 3  # those that it may use
    monkeypatch.setattr(sys, "platform", "win32")
    assert process_count(100, 1000) == 61
    assert process_count(8, 3) == 3
    assert process_count(0, 0) == 1
