"""The peak memory and time of loading a model that lies beside an optimizer of twice its size.

The file has the layout of fairseq's. ``torch.load`` reads it too, since the
foreign objects that it would have to run are left out; they weigh nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

from benchmarks.measure import table
from benchmarks.memory import peak

N_TENSORS = 100
N_VALUES = 1_000_000  # float32 in each: 400 MB of model
REPEATS = 3


def main() -> None:
    """Load each format in processes of their own; print the best time, and the peak over the idle process."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for kind in ("zip", "legacy"):
            path = Path(name) / f"{kind}.pt"
            _run("write", path)
            size = path.stat().st_size
            found = {}
            for reader in ("torch.load", "read_weights"):
                runs = [list(map(float, _run(reader, path).split())) for _ in range(REPEATS)]
                found[reader] = min(run[0] for run in runs), min(run[1] for run in runs)
            base = found["torch.load"]
            rows += [
                [
                    f"{kind}, {size / 1e6:.0f} MB",
                    reader,
                    f"{seconds:.2f} s",
                    f"{seconds / base[0]:.2f}",
                    f"{memory / 1e6:.0f} MB",
                    f"{memory / base[1]:.2f}",
                ]
                for reader, (seconds, memory) in found.items()
            ]
            path.unlink()
    table(["file", "reader", "time", "ratio", "peak memory over idle", "ratio"], rows)


def _run(work: str, path: Path) -> str:
    script = [sys.executable, "-m", "benchmarks.loading", work, str(path)]
    return subprocess.run(script, capture_output=True, check=True, text=True).stdout


def _write(path: Path) -> None:
    import torch

    def tensors() -> list[torch.Tensor]:
        return [torch.full((1000, N_VALUES // 1000), float(index)) for index in range(N_TENSORS)]

    content = {
        "cfg": {"model": {"layers": 12}},
        "model": OrderedDict((f"encoder.{index}.weight", tensor) for index, tensor in enumerate(tensors())),
        "last_optimizer_state": {
            "state": {
                index: {"exp_avg": average, "exp_avg_sq": square}
                for index, (average, square) in enumerate(zip(tensors(), tensors(), strict=True))
            }
        },
    }
    torch.save(content, path, _use_new_zipfile_serialization=path.stem == "zip")


def _load(reader: str, path: Path) -> None:
    import torch

    from modules.checkpoint import read_weights, state_of

    idle = peak()
    began = time.perf_counter()
    if reader == "read_weights":
        state = state_of(read_weights(path, keep=("model",)), path, "model")
    else:
        state = torch.load(path, map_location="cpu", weights_only=False)["model"]
    seconds = time.perf_counter() - began
    assert len(state) == N_TENSORS
    print(seconds, (peak() - idle) * 1024)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        _write(Path(sys.argv[2]))
    else:
        _load(sys.argv[1], Path(sys.argv[2]))
