"""Importing torchcrepe and torchfcpe with any build of torch.

Both import torchaudio, for functions that are not used here. torchaudio refuses
to load with a torch built for another CUDA version or for the CPU alone, and its
releases no longer follow torch's. And torchfcpe sets an environment variable on
import that shrinks a cache of the whole process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def isolated_import() -> Iterator[None]:
    """Import inside with an empty torchaudio, and restore the environment variables after."""
    stand_ins = {}
    if "torchaudio" not in sys.modules:
        stand_ins = {name: ModuleType(name) for name in ("torchaudio", "torchaudio.transforms")}
        stand_ins["torchaudio.transforms"].Resample = None  # type: ignore[attr-defined]
    environment = dict(os.environ)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
