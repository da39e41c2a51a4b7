"""Cost of each speech encoder at its published size, with random weights: docs/encoders.md.

Every encoder runs in a process of its own, reads a file in the published layout
through the project's loader, and is timed on 10 s of voice. The baseline of a
batch is the same clips one by one, in the same run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import isolated, peak_memory, seconds, table, temporary_folder

CLIPS = (2.0, 2.5, 3.0, 3.5, 2.0, 2.5, 3.0, 3.5)  # s, of a batch
LENGTH = 10.0  # s
REPEATS = 2


def main() -> None:
    """Print a row for each encoder that is read from torch files, and for the one without a file."""
    from tests.support.published import ENCODER_CASES, write_full_encoder

    rows = []
    for name in ("mfcc", *(name for name in ENCODER_CASES if not name.endswith("-onnx"))):
        with temporary_folder() as folder:
            path = None if name == "mfcc" else write_full_encoder(name, folder)
            rows.append(isolated(measure, name, path))
        print(f"{name}: done", file=sys.stderr, flush=True)
    header = ["encoder", "units", "parameters", "frames/s", "real-time factor", "bf16 over float32"]
    table([*header, "its error", "peak memory over idle", "batch over one by one"], rows)


def measure(name: str, path: Path | None) -> list[str]:
    """Cells of one row."""
    import torch

    from modules.common.device import cpu_has_bf16
    from tests.support.golden_cases import voice
    from vencoder import ENCODERS

    ENCODERS.build("mfcc").encode(torch.from_numpy(voice(1.0, 16000)))  # imports what all of them need
    if path:
        import transformers  # noqa: F401
    idle = peak_memory()
    options = {"weights": path} if path else {}
    encoder = ENCODERS.build(name, **options)
    audio = torch.from_numpy(voice(LENGTH, 16000))
    spent = seconds(lambda: encoder.encode(audio), REPEATS)
    units = encoder.encode(audio)
    over = peak_memory() - idle
    count, ratio, error, batched = "0", "–", "–", "–"
    if "whisper" not in name:  # which pads every clip to a window of 30 s: a batch gains nothing
        clips = [torch.from_numpy(voice(length, 16000, 180.0 + 20 * i)) for i, length in enumerate(CLIPS)]
        one_by_one = seconds(lambda: [encoder.encode(clip) for clip in clips], REPEATS)
        batched = f"{one_by_one / seconds(lambda: encoder.encode_batch(clips), REPEATS):.2f}×"
    if path:
        count = f"{sum(p.numel() for p in encoder.network.parameters()) / 1e6:.0f} M"
        del encoder
        low = ENCODERS.build(name, weights=path, dtype=torch.bfloat16)
        error = f"{float((low.encode(audio) - units).norm() / units.norm()):.1%}"
        if cpu_has_bf16():
            ratio = f"{spent / seconds(lambda: low.encode(audio), REPEATS):.2f}×"
    speed = [f"{units.shape[1] / spent:.0f}", f"{spent / LENGTH:.4f}", ratio, error]
    return [name, str(len(units)), count, *speed, f"{over / 2**20:.0f} MB", batched]
