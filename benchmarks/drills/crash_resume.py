"""Kill a training at random moments: resumed, it must reach the weights of an uninterrupted run.

`python -m benchmarks.drills.crash_resume [kills]`, about ten minutes. A run that finishes
between two kills is compared, and the next one begins.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import temporary_folder
from benchmarks.workspace import environment, final_weights, prepare, run, script

STEPS, SAVE_EVERY = 240, 12
TRAIN = ("train.py", "--device", "cpu", "-m")  # and the name of the run


def main(n_kills: int = 20) -> None:
    """Print the checkpoints that each kill leaves, and compare the final weights of each run."""
    with temporary_folder() as folder:
        prepare(folder, max_steps=STEPS, eval_interval=SAVE_EVERY, batch_size=2, max_speclen=64)
        began = time.monotonic()
        run(folder, *TRAIN, "uninterrupted")
        duration = time.monotonic() - began
        print(f"{STEPS} steps without interruption: {duration:.0f} s")
        rng = random.Random(0)
        kills, runs = 0, 1
        while kills < n_kills:
            patience = rng.uniform(0.3, 0.45 * duration)  # from the first import to well into the steps
            name = f"killed{runs}"
            if _finishes(folder, name, patience):
                _compare(folder, name)
                runs += 1
                continue
            kills += 1
            left = sorted(path.name for path in (folder / "logs" / name).glob("G_*"))
            print(f"kill {kills:2} after {patience:5.1f} s: {' '.join(left) or 'nothing yet'}", flush=True)
        run(folder, *TRAIN, f"killed{runs}")
        _compare(folder, f"killed{runs}")
        print(f"{kills} kills in {runs} runs, whose final weights all equal those of the uninterrupted run")


def _finishes(folder: Path, name: str, patience: float) -> bool:
    """Start a training and kill it after ``patience`` seconds; whether it finished before."""
    options: dict[str, Any] = {"cwd": folder, "env": environment(), "capture_output": True, "text": True}
    try:
        subprocess.run(script(*TRAIN, name), **options, check=True, timeout=patience)  # which kills it
    except subprocess.TimeoutExpired:
        return False
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"the run could not resume:\n{error.stderr}") from None
    return True


def _compare(folder: Path, name: str) -> None:
    """Exit unless the run ``name`` has the final weights of the uninterrupted one, bit for bit."""
    expected, found = (final_weights(folder, run, STEPS) for run in ("uninterrupted", name))
    if not all(torch.equal(expected[tensor], found[tensor]) for tensor in expected):
        raise SystemExit(f"the final weights of {name} are DIFFERENT")
    print(f"{name}: the final weights are equal, bit for bit", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
