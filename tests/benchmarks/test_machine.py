import re

from benchmarks.machine import processor


def test_the_processor_is_named_with_its_cores_and_whether_bfloat16_is_native():
    assert re.fullmatch(r"\S.*, \d+ cores, bfloat16 (native|emulated)", processor())
