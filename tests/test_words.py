"""Phrases that the project has left behind, so that they do not come back: see CONTRIBUTING.md, Words."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PHRASES = {
    r"\b(is|are|was|were) no (number|pickle|multiple|torch file)\b": "is not a ...",
    r"\banew\b": "again",
    r"\bfor ever\b": "forever, indefinitely",
    r"\bby heart\b": "overfitting",
    r"\bbest there is\b": "auto",
    r"\bleave (the|that|this) flag away\b": "remove --flag",
    r"\bwho sings when\b": "speaker mix",
    r"\b(train(ing|ed)?|start(s|ing|ed)?|learn(s|ing|t)?) from nothing\b": "from scratch",
    r"\bpaint(s|ed|ing)?\b": "denoises",
    r'"""Return (what|who|whose|how|where|why|whether)\b': "a noun phrase",
    r"\b(heard_as|hold_last|share_first|rest_gain|_heard_again)\b": "the names of today",
    r"\bclass (Verdict|Agreement|Board|Judge|Judged|Take|Given|Singer)\b": "the names of today",
}
SUFFIXES = {".py", ".md", ".html", ".json", ".yaml", ".toml", ".txt", ".ipynb"}


def files() -> list[Path]:
    """Everything that a person reads in English; the goldens and this list excepted."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, to know which files are the project's")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [
        ROOT / name
        for name in listed.splitlines()
        if Path(name).suffix in SUFFIXES or name == "Makefile"
        if not name.startswith("tests/golden/") and name not in ("README_zh_CN.md", "tests/test_words.py")
        if (ROOT / name).is_file()
    ]


def test_the_worst_phrases_stay_out():
    found = []
    for path in files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for phrase, better in PHRASES.items():
                if re.search(phrase, line, re.I if phrase[0] != '"' else 0):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()} -> {better}")
    assert found == []
