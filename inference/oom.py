"""Out of memory: one line that says what takes less, and the memory is free for the next conversion."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.options import ConvertOptions
from modules.common.errors import GlowSVCError
from modules.common.memory import full_memory


@contextmanager
def within_memory(
    file: str | Path, device: object, options: ConvertOptions, loading: bool = False
) -> Iterator[None]:
    """Raise GlowSVCError, about ``file``, if the block runs out of memory.

    The file is the recording, or the model if that is being loaded.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        where = full_memory(error, device)
        if where is None:
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the tensors
        raise GlowSVCError(f"{file}: {where} is out of memory. {_advice(where, options, loading)}") from None


def _advice(where: str, options: ConvertOptions, loading: bool) -> str:
    remedies = [] if loading else ["shorter slices (-cl 10 or less)"]
    if where == "cpu":
        remedies.append("closing other programs")
    else:
        half = options.onnx or options.precision in ("fp16", "bf16")
        remedies += [] if half else ["half precision (-pr fp16)"]
        remedies.append("the processor (-d cpu)")
    return "Try " + " or ".join([", ".join(remedies[:-1])] * (len(remedies) > 1) + remedies[-1:])
