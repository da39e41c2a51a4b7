"""Peak memory and time of loading a model from a file that also holds an optimizer of twice its size.

The file has the layout of fairseq's. ``torch.load`` can read it too, since it
has no objects of fairseq's classes; those are small.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from pathlib import Path

from benchmarks.measure import isolated, peak_memory, table, temporary_folder

N_TENSORS = 100
N_VALUES = 1_000_000  # float32 in each: 400 MB of model
REPEATS = 3


def main() -> None:
    """Load each format in processes of their own; print the best time, and the peak over the idle process."""
    rows = []
    with temporary_folder() as folder:
        for kind in ("zip", "legacy"):
            path = folder / f"{kind}.pt"
            isolated(_write, path)
            found = {}
            for reader in ("torch.load", "read_weights"):
                runs = [isolated(_load, reader, path) for _ in range(REPEATS)]
                found[reader] = [min(values) for values in zip(*runs, strict=True)]
            baseline = found["torch.load"]
            for reader, (seconds, memory) in found.items():
                times = [f"{seconds:.2f} s", f"{seconds / baseline[0]:.2f}"]
                peaks = [f"{memory / 1e6:.0f} MB", f"{memory / baseline[1]:.2f}"]
                rows.append([f"{kind}, {path.stat().st_size / 1e6:.0f} MB", reader, *times, *peaks])
            path.unlink()
    table(["file", "reader", "time", "ratio", "peak memory over idle", "ratio"], rows)


def _write(path: Path) -> None:
    import torch

    def tensor(index: int) -> torch.Tensor:
        return torch.full((1000, N_VALUES // 1000), float(index))

    moments = {i: {"exp_avg": tensor(i), "exp_avg_sq": tensor(i)} for i in range(N_TENSORS)}
    content = {
        "cfg": {"model": {"layers": 12}},
        "model": OrderedDict((f"encoder.{i}.weight", tensor(i)) for i in range(N_TENSORS)),
        "last_optimizer_state": {"state": moments},
    }
    torch.save(content, path, _use_new_zipfile_serialization=path.stem == "zip")


def _load(reader: str, path: Path) -> tuple[float, float]:
    """Seconds of loading, and its peak memory over the idle process, bytes."""
    import torch

    from modules.checkpoint import find_state_dict, read_weights

    idle = peak_memory()
    began = time.perf_counter()
    if reader == "read_weights":
        state = find_state_dict(read_weights(path, keep=("model",)), path, "model")
    else:
        state = torch.load(path, map_location="cpu", weights_only=False)["model"]
    seconds = time.perf_counter() - began
    assert len(state) == N_TENSORS
    return seconds, peak_memory() - idle
