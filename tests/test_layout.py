"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {
    "modules": 0,
    "synthetic_voice": 1,
    "vencoder": 1,
    "vdecoder": 1,
    "cluster": 1,
    "models": 2,
    "diffusion": 2,
    "export": 3,
    "model_tools": 3,
    "inference": 3,
    "training": 3,
    "evaluation": 3,
    "webui": 4,
}
SCRIPTS = sorted(
    path.stem for path in ROOT.glob("*.py") if path.stem not in ROOMS and "entry_point" in path.read_text()
)
COMMANDS = ["pretrain"]  # folders that are scripts: python -m <folder>
TOOLS = ["tools"]  # folders of scripts: python -m <folder>.<...>
SOURCES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if path.relative_to(ROOT).parts[0]
    in {*ROOMS, *COMMANDS, *TOOLS, "models.py", *(f"{s}.py" for s in SCRIPTS)}
)


def rank(name: str) -> int | None:
    """Return the rank of a module by its first name; None for other people's."""
    return 5 if name in {*SCRIPTS, *COMMANDS, *TOOLS} else ROOMS.get(name)


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_lower_ranks_or_its_own_room(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    own = rank(room)
    for name in imports(path):
        other = rank(name)
        if other is not None and name != room:
            assert other < own, f"{path.name} (rank {own}) imports {name} (rank {other})"


def test_every_script_is_known():
    assert SCRIPTS == [
        "compress_model",
        "demo",
        "evaluate",
        "inference_main",
        "mix_models",
        "onnx_export",
        "preprocess_flist_config",
        "preprocess_hubert_f0",
        "resample",
        "train",
        "train_diff",
        "train_index",
        "webUI",
    ]


@pytest.mark.parametrize("script", [*SCRIPTS, *(f"{command}.__main__" for command in COMMANDS)])
def test_help_teaches_without_loading_anything_heavy(script):
    code = (
        f"import sys, contextlib, {script}\n"
        f"with contextlib.suppress(SystemExit): {script}.main(['--help'])\n"
        "heavy = {'torch', 'librosa', 'scipy', 'matplotlib', 'pyworld'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout and "example" in done.stdout


def test_no_file_is_longer_than_can_be_read_in_a_sitting():
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*SOURCES, *(ROOT / "benchmarks").glob("*.py")]
    }
    assert lengths
    assert {path: n for path, n in lengths.items() if n > 400} == {}


def test_nothing_reads_a_pickle_outside_the_safe_readers():
    risky = re.compile(
        r"pickle\.loads?\(|weights_only=False|allow_pickle=True|yaml\.load\(|[^.\w]eval\(|[^.\w]exec\("
    )
    for path in SOURCES:
        assert not risky.search(path.read_text(encoding="utf-8")), path
