"""Kill a training at random moments: it must reach the very weights of one that was left alone.

`python -m benchmarks.drills.crash_resume [times]`, about ten minutes. A run that gets to its end
between two kills is compared, and the next one begins.
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

_STEPS, _SAVE_EVERY = 240, 12


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
        kills, runs = 0, 1
        while kills < times:
            patience = rng.uniform(0.3, 0.45 * whole)  # from before the first import to well into the steps
            name = f"killed{runs}"
            if _survives(folder, [*command, "-m", name], patience):
                _compare(folder, name)
                runs += 1
                continue
            kills += 1
            left = sorted(path.name for path in (folder / "logs" / name).glob("G_*"))
            print(f"kill {kills:2} after {patience:5.1f} s: {' '.join(left) or 'nothing yet'}", flush=True)
        run(folder, [*command, "-m", f"killed{runs}"])
        _compare(folder, f"killed{runs}")
        print(f"{kills} kills in {runs} runs, each of which ended as the one that was left alone")


def _survives(folder: Path, command: list[str], patience: float) -> bool:
    """Start a training and kill it after ``patience`` seconds; tell whether it was finished before."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode:
        raise SystemExit(f"the run could not go on:\n{said}")
    return True


def _compare(folder: Path, name: str) -> None:
    """Exit unless the run ``name`` has the final weights of the one that was left alone, bit for bit."""
    ends = [read_checkpoint(folder / "logs" / run / f"G_{_STEPS}.pth")["model"] for run in ("straight", name)]
    if not all(torch.equal(ends[0][tensor], ends[1][tensor]) for tensor in ends[0]):
        raise SystemExit(f"the final weights of {name} are DIFFERENT")
    print(f"{name}: the final weights are equal, bit for bit", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
