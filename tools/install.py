"""Install what requirements.txt lists, with the build of PyTorch that this machine can use.

    python tools/install.py

On Linux the package index has PyTorch with CUDA alone, which takes 4 GB. Without an
NVIDIA GPU the build for CPUs comes from PyTorch's own index instead, and if that does
not answer, the plain package is installed. Needs pip and the standard library alone.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
FROM_TORCH_INDEX = ("torch", "torchaudio")  # builds that have to match


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--torch_index",
        default="auto",
        metavar="URL",
        help="where PyTorch comes from: an index, such as that of a CUDA version; plain: the package index; "
        "auto (default): PyTorch's build for CPUs on Linux without an NVIDIA GPU, else plain",
    )
    return parser


def has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver is installed and lists a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU" in listed.stdout


def choose_index() -> str:
    """Index that PyTorch is to come from; "" is the package index."""
    return CPU_INDEX if platform.system() == "Linux" and not has_nvidia_gpu() else ""


def torch_requirements() -> list[str]:
    """Lines of requirements.txt that PyTorch's own index serves, without comments."""
    lines = [line.partition("#")[0].strip() for line in REQUIREMENTS.read_text("utf-8").splitlines()]
    return [line for line in lines if line.partition(">")[0].partition("=")[0] in FROM_TORCH_INDEX]


def pip_install(*arguments: str) -> int:
    """Exit code of ``pip install``."""
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=False
    ).returncode


def main(argv: Sequence[str] | None = None) -> int:
    """Install; return the exit code of pip."""
    asked = get_parser().parse_args(argv).torch_index
    index = {"auto": choose_index(), "plain": ""}.get(asked, asked)
    if index:
        print(f"PyTorch from {index} ...", flush=True)
        if pip_install("--index-url", index, "--retries", "1", "--timeout", "15", *torch_requirements()):
            if asked != "auto":
                return 1
            print("that index does not answer: PyTorch's plain package instead, with CUDA, 4 GB", flush=True)
    return pip_install("-r", str(REQUIREMENTS))


if __name__ == "__main__":
    sys.exit(main())
