"""What each speech encoder costs at its published size, with random weights: docs/encoders.md.

Every encoder has a process of its own, reads a file in the published layout
through the project's loader, and is timed on a voice of 10 s. The baseline of a
batch is the same clips one by one, in the same run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import seconds, table

CLIPS = (2.0, 2.5, 3.0, 3.5, 2.0, 2.5, 3.0, 3.5)  # s, of a batch
LENGTH = 10.0  # s
_REPEATS = 2


def main() -> None:
    """Print a row for each encoder that is read from torch files, and for the one without a file."""
    from tests.support.published import ENCODER_CASES, write_full_encoder

    rows = []
    names = ["mfcc", *(name for name in ENCODER_CASES if not name.endswith("-onnx"))]
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            path = str(write_full_encoder(name, Path(folder))) if name != "mfcc" else ""
            command = [sys.executable, "-m", "benchmarks.encoders", name, path]
            rows.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("|"))
        print(f"{name}: done", file=sys.stderr, flush=True)
    header = ["encoder", "units", "parameters", "frames/s", "real-time factor", "bf16 over float32"]
    table([*header, "its error", "peak memory over idle", "batch over one by one"], rows)


def measure(name: str, path: str) -> list[str]:
    """Return the cells of one row."""
    import torch

    from benchmarks.memory import peak
    from modules.common.device import cpu_has_bf16
    from tests.support.golden_cases import voice
    from vencoder import ENCODERS

    ENCODERS.build("mfcc").encode(torch.from_numpy(voice(1.0, 16000)))  # what all of them import
    if path:
        import transformers  # noqa: F401
    idle = peak()
    options = {"weights": Path(path)} if path else {}
    encoder = ENCODERS.build(name, **options)
    audio = torch.from_numpy(voice(LENGTH, 16000))
    spent = seconds(lambda: encoder.encode(audio), _REPEATS)
    units = encoder.encode(audio)
    over = peak() - idle
    ratio = error = batched = "–"
    if "whisper" not in name:  # every clip is a window of 30 s there: nothing to gain, and long to wait for
        clips = [torch.from_numpy(voice(length, 16000, 180.0 + 20 * i)) for i, length in enumerate(CLIPS)]
        alone = seconds(lambda: [encoder.encode(clip) for clip in clips], _REPEATS)
        batched = f"{alone / seconds(lambda: encoder.encode_batch(clips), _REPEATS):.2f}×"
    count = "0"
    if path:
        count = f"{sum(p.numel() for p in encoder.network.parameters()) / 1e6:.0f} M"
        del encoder
        low = ENCODERS.build(name, weights=Path(path), dtype=torch.bfloat16)
        error = f"{float((low.encode(audio) - units).norm() / units.norm()):.1%}"
        if cpu_has_bf16():
            ratio = f"{spent / seconds(lambda: low.encode(audio), _REPEATS):.2f}×"
    return [
        name,
        str(len(units)),
        count,
        f"{units.shape[1] / spent:.0f}",
        f"{spent / LENGTH:.4f}",
        ratio,
        error,
        f"{over / 1024:.0f} MB",
        batched,
    ]


if __name__ == "__main__":
    print("|".join(measure(*sys.argv[1:])), end="")
