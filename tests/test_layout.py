"""The rules of the house that a machine can check: docs in CONTRIBUTING.md."""

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.support.imports import HEAVY

ROOT = Path(__file__).parent.parent
RANKS = {
    "modules": 0,
    "vencoder": 1,
    "vdecoder": 1,
    "cluster": 1,
    "separation": 1,
    "synthetic_voice": 1,
    "models": 2,
    "diffusion": 2,
    "export": 3,
    "model_tools": 3,
    "inference": 3,
    "training": 3,
    "evaluation": 3,
    "webui": 4,
}
# inside modules/: what each room may know of the others
MODULES = {
    "common": set(),
    "config": {"common"},
    "checkpoint": {"common"},
    "pretrained": {"common"},
    "dsp": {"common", "config"},
    "onnx": {"common", "config", "checkpoint"},
    "nn": {"common", "config", "dsp"},
    "dataset": {"common", "config", "checkpoint", "dsp"},
    "f0_predictor": {"common", "config", "checkpoint", "dsp", "onnx", "pretrained"},
}
SCRIPTS = sorted(
    path.stem
    for path in ROOT.glob("*.py")
    if path.stem not in RANKS and "entry_point" in path.read_text("utf-8")
)
COMMANDS = {"pretrain", "tools", "benchmarks"}  # folders that are scripts: python -m <folder>
MOST_LINES, MOST_FILES, MOST_ENTRIES = 350, 15, 10
UNSAFE = re.compile(
    r"(pickle|joblib|torch|torch\.jit|yaml)\.loads?\((?!weights_only=True\))"
    r"|weights_only=False|allow_pickle=True|[^.\w](eval|exec)\("
)


def first(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


SOURCES = sorted(p for p in ROOT.rglob("*.py") if first(p) in {*RANKS, *COMMANDS, *SCRIPTS})
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def rank(name: str) -> int | None:
    """Rank of a top-level name; None for other people's."""
    return 5 if name in {*SCRIPTS, *COMMANDS} else RANKS.get(name)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> set[str]:
    """Dotted names that are imported anywhere in ``tree``, with what is taken from a package."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def test_files_import_only_from_lower_ranks_or_their_own_room():
    wrong = []
    for path in SOURCES:
        own = rank(first(path))
        for name in imports(parse(path)):
            other = rank(top := name.partition(".")[0])
            if other is not None and top != first(path) and first(path) != "benchmarks":
                wrong += [f"{path.relative_to(ROOT)} imports {name}"] if other >= own else []
    assert wrong == []


def test_rooms_of_modules_know_only_what_lies_below_them():
    wrong = []
    for path in (ROOT / "modules").glob("*/**/*.py"):
        room = path.relative_to(ROOT).parts[1]
        others = {name.split(".")[1] for name in imports(parse(path)) if name.startswith("modules.")}
        wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in others - MODULES[room] - {room}]
    assert wrong == []
    assert {path.stem for path in (ROOT / "modules").iterdir() if path.suffix in ("", ".py")} - {
        "__init__",
        "__pycache__",
    } == set(MODULES)


def test_no_module_imports_itself_by_a_detour():
    """Imports at the top of files, without those for type checkers alone, have no cycle."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCES
    }
    graph: dict[str, set[str]] = defaultdict(set)
    for module, path in files.items():
        body = [node for node in parse(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
        graph[module] = {name for name in imports(ast.Module(body, [])) if name in files} - {module}
    while leaves := [module for module, wanted in graph.items() if not wanted]:
        for leaf in leaves:
            del graph[leaf]
        for wanted in graph.values():
            wanted.difference_update(leaves)
    assert dict(graph) == {}


def test_folders_and_files_can_be_taken_in_at_a_glance():
    entries = [path.name for path in (ROOT / "modules").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES
    folders = Counter(path.parent.relative_to(ROOT) for path in [*SOURCES, *TESTS])
    del folders[Path()]  # the scripts keep their published places
    assert {str(folder): n for folder, n in folders.items() if n > MOST_FILES} == {}
    lengths = {p.relative_to(ROOT): len(p.read_text("utf-8").splitlines()) for p in [*SOURCES, *TESTS]}
    assert {str(path): n for path, n in lengths.items() if n > MOST_LINES} == {}


def test_a_class_name_means_one_class():
    names = Counter(
        node.name for path in SOURCES for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef)
    )
    assert {name for name, n in names.items() if n > 1} == set()


def test_documents_name_files_that_exist():
    for page in ("CONTRIBUTING.md", "docs/architecture.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        named = re.findall(r"`([\w./]+(?:/|\.py|\.md))(?::[^`]*)?`", text)
        named = [name for name in named if "/" in name and not name.startswith("docs/pictures")]
        assert named and [name for name in named if not any(ROOT.glob(f"**/{name}"))] == []


def test_unsafe_loading_is_left_to_the_safe_readers():
    # a benchmark compares with torch's own loading, of a file that it wrote itself
    shipped = [path for path in SOURCES if first(path) != "benchmarks"]
    assert [path for path in shipped if UNSAFE.search(path.read_text(encoding="utf-8"))] == []


def test_scripts_and_their_tests_are_known():
    assert SCRIPTS == [
        "compress_model",
        "cover",
        "demo",
        "doctor",
        "evaluate",
        "inference_main",
        "mix_models",
        "onnx_export",
        "preprocess_flist_config",
        "preprocess_hubert_f0",
        "realtime",
        "resample",
        "train",
        "train_diff",
        "train_index",
        "webUI",
    ]
    others = (ROOT / "tests" / "inference").glob("*/test_script.py")  # of realtime.py and cover.py
    doctors = ROOT / "tests" / "tools" / "test_doctor.py"
    tests = [*(ROOT / "tests" / "scripts").glob("test_*.py"), *others, doctors]
    tested = {name for path in tests for name in imports(parse(path))}
    assert set(SCRIPTS) - tested == set()


@pytest.mark.parametrize("script", [*SCRIPTS, "pretrain.__main__", "cluster.train_cluster"])
def test_help_teaches_without_loading_anything_heavy(script):
    code = (
        f"import sys, contextlib, {script}\n"
        f"with contextlib.suppress(SystemExit): {script}.main(['--help'])\n"
        f"heavy = {{'numpy', 'soundfile', *{sorted(HEAVY)}}} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout and "example" in done.stdout
