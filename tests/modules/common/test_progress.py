import os
import subprocess
import sys
from pathlib import Path

from modules.common.progress import ProgressEvent, progress_bar, seconds_bar

ROOT = Path(__file__).parents[3]
LOGS = """
import logging
from modules.common.cli import entry_point
from modules.common.progress import seconds_bar
__file__ = "x.py"
@entry_point
def main(argv):
    with seconds_bar("a song") as show:
        show(1.2, 3.0)
        logging.getLogger("training.loop").info("step 3")
    logging.getLogger("transformers").info("chatter")
    logging.getLogger("transformers").warning("a problem")
    print("花子 done")
    return 0
raise SystemExit(main([]))
"""


def test_a_bar_becomes_json_lines_when_asked_to(monkeypatch, capsys):
    monkeypatch.setenv("GLOW_SVC_PROGRESS", "json")
    for _ in progress_bar(range(2), desc="读 clips", unit="clip", mininterval=0):
        pass
    bar = progress_bar(desc="download", unit="B", mininterval=0)
    bar.update(5)
    bar.set_postfix({"loss": 0.5})
    bar.close()
    with seconds_bar("song") as show:
        show(30.2, 120.0)
    events = [ProgressEvent.from_line(line) for line in capsys.readouterr().err.splitlines()]
    assert None not in events
    assert [(e.stage, e.done, e.total) for e in events[:3]] == [("读 clips", n, 2) for n in range(3)]
    assert events[1].eta is not None and events[1].eta >= 0
    last = next(event for event in reversed(events) if event.stage == "download")
    assert (last.done, last.total, last.eta, last.unit) == (5, None, None, "B")
    assert last.numbers == {"loss": "0.5"}
    song = events[-1]
    assert (song.stage, song.done, song.total, song.unit) == ("song", 30, 120, "s") and song.eta >= 0


def test_what_is_no_event_is_left_alone():
    for line in ("", "step 3", '{"progress": 1}', '{"progress": {"stage": "x"}}', '{"progress":'):
        assert ProgressEvent.from_line(line) is None


def test_only_tools_draw_bars_of_their_own():
    command = ["git", "grep", "-lE", r"\btqdm\(|tqdm\.contrib", "--", "*.py", ":!tests", ":!tools"]
    found = subprocess.run([*command, ":!benchmarks"], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.split() == []


def test_scripts_show_decisions_and_mark_problems_and_print_names_that_the_code_page_lacks():
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}  # a Windows whose output goes to a file
    done = subprocess.run(
        [sys.executable, "-c", LOGS], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.split() == [r"\u82b1\u5b50", "done"], done.stderr
    drawn = [line.strip() for line in done.stderr.replace("\r", "\n").splitlines()]
    assert [line for line in drawn if line and not line.startswith("a song:")] == [
        "step 3",
        "warning: a problem",
    ]
    assert "1/3 s" in done.stderr  # the bar, and what is said above it
