"""Kill a training at random moments: it must reach the very weights of one that was left alone.

`python -m benchmarks.kills [times]`, about ten minutes.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.workspace import ENVIRONMENT, prepare, run, script
from modules.checkpoint import read_checkpoint

_STEPS, _SAVE_EVERY = 400, 12


def main(times: int = 20) -> None:
    """Print what each kill left, and whether the end is the same."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, max_steps=_STEPS, eval_interval=_SAVE_EVERY, batch_size=2, max_speclen=64)
        command = script("train.py", "--device", "cpu")
        began = time.monotonic()
        run(folder, [*command, "-m", "straight"])
        whole = time.monotonic() - began
        print(f"{_STEPS} steps without interruption: {whole:.0f} s")
        rng = random.Random(0)
        kills, starts = 0, 0
        while kills < times:
            starts += 1
            # from before the first import to well into the steps; too short to finish before the last kill
            patience = rng.uniform(0.3, 0.27 * whole)
            process = subprocess.Popen(
                [*command, "-m", "killed"], cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
            )
            try:
                _, said = process.communicate(timeout=patience)
                if process.returncode:
                    raise SystemExit(f"start {starts} could not go on:\n{said}")
                print("the run was finished before the kills were; it stays finished")
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                kills += 1
                left = sorted(path.name for path in (folder / "logs" / "killed").glob("G_*"))
                print(
                    f"kill {kills:2} after {patience:5.1f} s: {' '.join(left) or 'nothing yet'}", flush=True
                )
        run(folder, [*command, "-m", "killed"])
        ends = [
            read_checkpoint(folder / "logs" / name / f"G_{_STEPS}.pth")["model"]
            for name in ("straight", "killed")
        ]
        same = all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
        print(f"after {kills} kills the final weights are {'equal, bit for bit' if same else 'DIFFERENT'}")
        if not same:
            raise SystemExit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
