"""Large packages that a command imports; each costs time at every start, or is not installed everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = frozenset(
    (
        *("torch", "torchaudio", "scipy", "pandas", "sklearn", "faiss", "gradio", "matplotlib"),
        *("transformers", "librosa", "numba", "tensorboard", "onnx", "onnxruntime"),
    )
)


def heavy_imports(code: str, cwd: Path, *arguments: str, **environment: str) -> set[str]:
    """Names of the heavy packages that ``code`` imports in a process of its own, in the folder ``cwd``."""
    whole = f"import sys\n{code}\nprint('imports:', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", whole, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {name for name in done.stdout.rpartition("imports:")[2].split() if name in HEAVY}
