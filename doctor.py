"""What is installed here and whether it works: text to paste into a report.

It holds no personal paths: the home folder becomes ~, and the project's folder a dot.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from modules.common.cli import add_device, entry_point, make_parser

ROOT = Path(__file__).resolve().parent
OPTIONAL = ("requirements-quality.txt", "requirements-live.txt")
SPACE = 5 << 30  # bytes; with less free, training may stop
EPILOG = """\
examples:
  python doctor.py                   or: make doctor
  python doctor.py --quick           without checksums and without the conversion
  python doctor.py -d cuda           the conversion on this device

A line that begins with ! is a problem. The exit code is 1 if there is one.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    parser.add_argument("--quick", action="store_true", help="leave out checksums and the conversion")
    add_device(parser)
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; return 1 if something is wrong."""
    args = get_parser().parse_args(argv)
    parts = {"system": _system(), "packages": _packages(), "devices": _devices()}
    parts["weights"] = _weights(args.quick)
    if not args.quick:
        parts["conversion"] = _conversion(args.device)
    wrong = False
    for title, lines in parts.items():
        print(f"{title}:")
        for line in lines:
            print("  " + without_paths(line), flush=True)
            wrong |= line.startswith("!")
    return int(wrong)


def without_paths(text: str) -> str:
    """``text`` without where things lie in this machine."""
    places = {str(ROOT): ".", str(Path.cwd()): ".", tempfile.gettempdir(): "<temporary folder>"}
    places[str(Path.home())] = "~"
    for place in sorted(places, key=len, reverse=True):
        if len(place) > 1:
            text = text.replace(place, places[place])
    return text


def _system() -> Iterator[str]:
    machine = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield f"{machine}, Python {platform.python_version()}"
    memory = ""
    if hasattr(os, "sysconf"):
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB of memory"
    yield f"{os.cpu_count()} processors{memory}"
    free = shutil.disk_usage(ROOT).free
    yield f"{'! ' if free < SPACE else ''}{free / 2**30:.0f} GB free on the disk of the project"
    if not os.access(ROOT, os.W_OK):
        yield "! the project's folder cannot be written to"


def _packages() -> Iterator[str]:
    """Installed versions, and what is missing or outside the bounds of the requirement files."""
    fine, count = [], 0
    base = ROOT / "requirements.txt"
    if importlib.util.find_spec("torch") is None:
        base = ROOT / "requirements-onnx.txt"
        yield "PyTorch is not installed: only conversion with --onnx works"
    for name, bounds in requirements(base):
        version = installed_version(name)
        count += 1
        if version is None:
            yield f"! {name} is missing: pip install -r {base.name}"
        elif not _fits(version, bounds):
            yield f"! {name} {version} is outside {bounds}: pip install -r {base.name}"
        else:
            fine.append(f"{name} {version}")
    yield f"{len(fine)} of {count} as required: {', '.join(fine)}"
    for file in OPTIONAL:
        lacking = [name for name, _ in requirements(ROOT / file, follow=False) if not installed_version(name)]
        yield f"optional, {file}: {'missing ' + ', '.join(lacking) if lacking else 'complete'}"


def requirements(path: Path, follow: bool = True) -> Iterator[tuple[str, str]]:
    """Names and bounds of the packages in a requirements file, and in those that it takes in."""
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            yield from requirements(path.with_name(line[3:].strip())) if follow else ()
        elif found := re.fullmatch(r"([\w.-]+)(?:\[[^\]]*\])?\s*([^;]*)(?:;.*)?", line):
            yield found[1], found[2].strip()


def installed_version(name: str) -> str | None:
    """Version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _fits(version: str, bounds: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(bounds).contains(version, prereleases=True)


def _devices() -> Iterator[str]:
    import onnxruntime

    yield f"onnxruntime: {', '.join(onnxruntime.get_available_providers())}"
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}: {facts.name}, {facts.total_memory / 2**30:.0f} GB"
    if torch.backends.mps.is_available():
        yield "mps"
    yield f"cpu: PyTorch with {torch.get_num_threads()} threads"


def _weights(quick: bool) -> Iterator[str]:
    """Weights that are there, with their checksums, and the number of those that are not."""
    from modules.common.errors import GlowSVCError
    from modules.pretrained.checksums import check
    from modules.pretrained.starter import STARTER_ENCODER
    from modules.pretrained.weights import WEIGHTS, find_weights, folder

    there = [key for key in WEIGHTS if find_weights(key)]
    for key in there:
        if quick:
            yield key
            continue
        try:
            yield f"{key}: {check(key, folder()).rpartition(': ')[2]}"
        except (GlowSVCError, OSError) as error:
            yield f"! {key}: {error}"
    yield f"{len(WEIGHTS) - len(there)} others are not downloaded: python -m pretrain --list"
    for name in ("ppg-starter", STARTER_ENCODER, "base"):
        path = ROOT / "pretrain" / "starter" / f"{name}.safetensors"
        if not path.is_file():
            yield f"! {path} is missing; it belongs to the repository"


def _conversion(device: str | None) -> Iterator[str]:
    """Convert a second of the synthetic singer with a small model of random weights."""
    if importlib.util.find_spec("torch") is None:
        yield "left out: it needs PyTorch"
        return
    from modules.common.errors import GlowSVCError

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            seconds, peak, where = convert_second(Path(folder), device)
        except (GlowSVCError, OSError, RuntimeError) as error:
            yield f"! {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            return
    problem = "" if seconds == 1 and 0 < peak else "! "
    yield f"{problem}1 s in {time.perf_counter() - began:.1f} s on {where}, loading included; peak {peak:.3f}"


def convert_second(folder: Path, device: str | None) -> tuple[float, float, str]:
    """Seconds and peak of a converted second, and its device; everything is written to ``folder``."""
    import logging

    import numpy as np
    import soundfile
    import torch

    from inference.converter import Converter
    from inference.options import ConvertOptions
    from models import GlowSVC
    from modules.checkpoint import write_checkpoint
    from modules.common.files import write_json
    from modules.config import parse_config
    from modules.pretrained.starter import STARTER_ENCODER
    from synthetic_voice import compose, sing
    from vencoder import ENCODERS

    encoder = STARTER_ENCODER
    sizes = {"hidden_channels": 16, "filter_channels": 16, "n_layers": 1, "n_flow_layer": 1}
    sizes |= {
        "n_flow_block_layer": 1,
        "gin_channels": 8,
        "n_speakers": 1,
        "ssl_dim": ENCODERS[encoder].ssl_dim,
    }
    values = {"model": {**sizes, "speech_encoder": encoder, "vocoder_name": "world"}, "spk": {"anna": 0}}
    torch.manual_seed(0)
    state = GlowSVC(parse_config(values).model).state_dict()
    write_checkpoint(folder / "G_0.pth", {"model": state, "iteration": 0})
    write_json(folder / "config.json", values)
    soundfile.write(folder / "song.wav", sing(compose("tomas", 1, 1), "tomas").audio, 44100)
    options = ConvertOptions(model_path=str(folder / "G_0.pth"), device=device, wav_format="wav")
    messages = logging.getLogger("inference")
    level = messages.level
    messages.setLevel(logging.ERROR)  # a random model is loud
    try:
        converter = Converter(options)
        result = converter.convert(folder / "song.wav", folder / "result.wav", "anna")
    finally:
        messages.setLevel(level)
    audio, rate = soundfile.read(result.path)
    return len(audio) / rate, float(np.abs(audio).max()), str(converter.device)


if __name__ == "__main__":
    sys.exit(main())
