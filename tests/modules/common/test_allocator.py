import os
import platform
import subprocess
import sys

import pytest

COUNT_PAGES = """
import resource
import numpy as np
from modules.common.allocator import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        blocks = [np.ones(2**18) for _ in range(16)]  # 2 MB each
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages()
given_back = pages()
keep_freed_memory()
pages()
print(given_back, pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
@pytest.mark.parametrize("of_user", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}])
def test_memory_is_taken_from_the_system_once(of_user):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT_PAGES], env=environment | of_user, check=True, capture_output=True
    )
    before, after = map(int, done.stdout.split())
    assert before > 4 * 16 * 2**21 / 4096 / 2  # the pages of most blocks
    assert after > before / 2 if of_user else after < before / 100
