import re

import pytest
import torch

from benchmarks.machine import Peak, processor
from benchmarks.measure import alternate


def test_the_processor_is_named_with_its_cores_and_whether_bfloat16_is_native():
    assert re.fullmatch(r"\S.*, \d+ cores, bfloat16 (native|emulated)", processor())


def test_the_peak_is_that_of_the_fastest_turn_of_the_faster_work(monkeypatch):
    monkeypatch.setattr("benchmarks.machine._SIZE", 16)
    monkeypatch.setattr("benchmarks.machine._RUNS", 1)
    peak = Peak(torch.float32)
    product, convolution = peak.works
    times = {**alternate(peak.works, 1), product: [2.0, 1.0], convolution: [1e9], "other": [1e-9]}
    assert peak.flops(times) == pytest.approx(2 * 16**3)
