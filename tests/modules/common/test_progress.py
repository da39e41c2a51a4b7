import subprocess
import sys
from pathlib import Path

from modules.common.progress import ProgressEvent, progress_bar

ROOT = Path(__file__).parents[3]
LOGS = """
import logging
from modules.common.cli import entry_point
__file__ = "x.py"
@entry_point
def main(argv):
    logging.getLogger("training.loop").info("step 3")
    logging.getLogger("transformers").info("chatter")
    logging.getLogger("transformers").warning("a problem")
    return 0
main([])
"""


def test_a_bar_becomes_json_lines_when_asked_to(monkeypatch, capsys):
    monkeypatch.setenv("GLOW_SVC_PROGRESS", "json")
    for _ in progress_bar(range(2), desc="读 clips", unit="clip", mininterval=0):
        pass
    bar = progress_bar(desc="download", unit="B", mininterval=0)
    bar.update(5)
    bar.set_postfix({"loss": 0.5})
    bar.close()
    events = [ProgressEvent.from_line(line) for line in capsys.readouterr().err.splitlines()]
    assert None not in events
    assert [(e.stage, e.done, e.total) for e in events[:3]] == [("读 clips", n, 2) for n in range(3)]
    assert events[1].eta is not None and events[1].eta >= 0
    last = events[-1]
    assert (last.done, last.total, last.eta, last.unit) == (5, None, None, "B")
    assert last.numbers == {"loss": "0.5"}


def test_what_is_no_event_is_left_alone():
    for line in ("", "step 3", '{"progress": 1}', '{"progress": {"stage": "x"}}', '{"progress":'):
        assert ProgressEvent.from_line(line) is None


def test_scripts_show_decisions_and_mark_problems():
    done = subprocess.run([sys.executable, "-c", LOGS], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines() == ["step 3", "warning: a problem"]
