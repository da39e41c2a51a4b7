"""One thread per process: small tensors gain nothing from more, and results stay repeatable."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import modules  # noqa: E402, F401, I001 - bounds how long threads spin; before torch
import torch  # noqa: E402 - after the variable above

torch.set_num_threads(1)

from tests.support.file_server import server  # noqa: E402, F401 - a fixture
from tests.support.scripts import prepared, reference_base, script, workspace  # noqa: E402, F401 - fixtures
