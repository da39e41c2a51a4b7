"""A few broken files of each kind, of those that ``make fuzz`` reads."""

import os

import pytest

from tests.support.fuzz_readers import FOUND, KINDS, check

SAMPLE = 8  # seeds of each kind


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, for a process per file")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
@pytest.mark.parametrize("kind", KINDS)
def test_each_is_read_or_ends_in_one_line_in_bounded_time_and_memory(tmp_path, kind):
    seeds = sorted({*range(SAMPLE), *FOUND.get(kind, ())})
    assert [(seed, reason) for seed, reason in check(kind, seeds, tmp_path) if reason] == []
