"""The two READMEs tell all, tell the same, and lead somewhere."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from modules.common.device import resolve_device
from modules.common.errors import ConfigError

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README_zh_CN.md"]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# as the README calls them, and where their parsers are
SCRIPTS = {
    **{
        f"{path.stem}.py": path.stem for path in ROOT.glob("*.py") if "entry_point" in path.read_text("utf-8")
    },
    "cluster/train_cluster.py": "cluster.train_cluster",
    "python -m pretrain": "pretrain.__main__",
}
# whose flags are, for the most part, those of another
ELSEWHERE = {
    "evaluate.py": "inference_main.py",
    "realtime.py": "inference_main.py",
    "cover.py": "inference_main.py",
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def actions(script: str) -> list[argparse.Action]:
    """Flags of a script, without --help and hidden ones."""
    parser = importlib.import_module(SCRIPTS[script]).get_parser()
    return [
        action
        for action in parser._actions
        if action.option_strings and action.dest != "help" and action.help != argparse.SUPPRESS
    ]


def rows(readme: Path, script: str) -> dict[str, str]:
    """Return the folded table of a script's flags: by flag, its row."""
    found = re.search(rf"<summary>[^\n]*<code>{re.escape(script)}</code>.*?</details>", text(readme), re.S)
    assert found, f"{readme.name} has no table of the flags of {script}"
    table = [line for line in found[0].splitlines() if line.startswith("| `-")]
    return {flag: line for line in table for flag in re.findall(r"`(-[^` ]+)`", line.split("|")[1])}


def shown(default: object) -> str | None:
    """Default as the tables write it; None where they describe it in words."""
    if isinstance(default, bool) or not isinstance(default, str | int | float) or default == "":
        return None
    return f"`{default}`" if isinstance(default, str) else f"`{default:g}`".replace("e+05", "00000")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("readme", READMES, ids=name)
def test_every_flag_of_every_script_is_there_and_no_other(readme, script):
    told = rows(readme, script)
    known = {flag for action in actions(script) for flag in action.option_strings}
    assert told.keys() <= known, f"{script} has no {told.keys() - known}"
    if script in ELSEWHERE:
        told |= rows(readme, ELSEWHERE[script])
    assert known <= told.keys(), f"{script}: {known - told.keys()} is not told"


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("readme", READMES, ids=name)
def test_the_defaults_are_those_of_the_script(readme, script):
    told = rows(readme, script)
    for action in actions(script):
        row, default = told.get(action.option_strings[0]), shown(action.default)
        if row and default and action.dest != "port":  # 0: the first that is free
            assert default in row, f"{script} {action.option_strings[0]}: {default} in {row}"


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_commands_in_examples_have_only_flags_that_exist(readme):
    checked = 0
    for _, block in FENCE.findall(text(readme)):
        for line in block.splitlines():
            command = re.search(r"(?:^|\s)python (?:-m (pretrain)|([\w/]+\.py))(.*)", line)
            if not command:
                continue
            script = f"python -m {command[1]}" if command[1] else command[2]
            known = {flag for action in actions(script) for flag in action.option_strings}
            words = shlex.split(re.sub("[<>]", "", command[3]), comments=True)
            given = {word for word in words if word.startswith("-") and not re.fullmatch(r"-\d+", word)}
            assert given <= known, line
            checked += 1
    assert checked > 8


def links(page: Path) -> set[str]:
    content = FENCE.sub("", text(page))
    found = re.findall(r"\]\(([^)\s]+)\)", content) + re.findall(r'(?:src|href)="([^"]+)"', content)
    return {link for link in found if not link.startswith(("http", "mailto:"))}


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_pictures_lead_somewhere(page):
    missing = []
    for link in sorted(links(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            missing.append(link)
        else:
            assert not anchor or anchor in anchors(target), f"{name(page)}: no heading for {link}"
    assert not missing, f"{name(page)}: {missing}"


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_the_first_screen_shows_and_tells_how(readme):
    first = "\n".join(text(readme).splitlines()[:40])
    assert all(part in first for part in ("make demo", "make test", "![", ".png)", ".mp3)"))


def test_both_say_the_same():
    english, chinese = READMES

    def prose(page):
        return FENCE.sub("", text(page))

    def levels(page):
        return re.findall(r"^#+(?= )", prose(page), re.M)

    def translated(part):
        return re.sub(r"<[^>]*>", "<>", part)

    assert levels(english) == levels(chinese)
    ours = {link for link in links(english) if not link.startswith("#")} - {chinese.name}
    assert ours == {link for link in links(chinese) if not link.startswith("#")} - {english.name}
    for pattern in (r"[\d.]+ (?:ms|min|MB|GB)\b", r"arXiv [\d.]+", r"`[^`\n]+`"):  # numbers, papers, names
        there, here = ({translated(part) for part in re.findall(pattern, prose(page))} for page in READMES)
        assert there == here, pattern
    tables = [len(re.findall(r"^\|", text(page), re.M)) for page in READMES]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_benchmarks_and_tools_that_are_named_exist(page):
    for module in re.findall(r"python -m ((?:benchmarks|tools)(?:\.\w+)*)", text(page)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or path.is_dir(), module


def test_the_symptom_of_a_missing_gpu_is_the_message(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigError) as refusal:
        resolve_device("cuda")
    symptom = str(refusal.value).split(":")[0]
    assert [name(readme) for readme in READMES if f"`{symptom}`" not in text(readme)] == []
