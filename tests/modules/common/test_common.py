"""Files, registry, command line, progress and device: each small enough to share a page."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from modules.common.cli import entry_point
from modules.common.device import resolve_device
from modules.common.errors import AudioError, ConfigError
from modules.common.files import replacing, write_json, write_text
from modules.common.progress import ProgressEvent, progress_bar, seconds_bar
from modules.common.registry import PartSpec, Registry

ROOT = Path(__file__).parents[3]


def test_a_registry_builds_lazily_and_lists_what_there_is():
    fraction = PartSpec("fractions:Fraction", kwargs={"denominator": 2})
    table = Registry("toy", {"good": fraction, "absent": PartSpec("no.such.module:Thing")})
    assert list(table) == ["good", "absent"] and len(table) == 2 and "other" not in table
    assert table.build("good", 1) * 2 == 1
    assert table.build("good", 1, denominator=4) * 4 == 1, "the caller's arguments win"
    with pytest.raises(ConfigError, match="unknown toy 'other'; choose one of: good, absent"):
        table["other"]


def test_replacing_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "名 a.json"
    write_json(path, {"名": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert "名" in path.read_text(encoding="utf-8")
    write_text(path, "名\nb\n")
    assert path.read_bytes() == "名\nb\n".encode()  # the same line ends on every system
    assert list(tmp_path.iterdir()) == [path]


def fails(error):
    @entry_point
    def main(argv=None):
        raise error

    return main([])


def test_a_mistake_is_one_line_and_an_exit_code(capsys):
    for error, code, words in [
        (AudioError("a.wav is empty"), 2, "a.wav is empty"),
        (KeyboardInterrupt(), 130, "run the same command for the rest"),
        (PermissionError(errno.EACCES, "Permission denied", "b.pt"), 2, "b.pt: Permission denied"),
        (PermissionError(errno.EACCES, "In use", ".b.tmp", None, "b.pt"), 2, " b.pt: In use"),
    ]:
        assert fails(error) == code
        message = capsys.readouterr().err.strip()
        assert words in message and "\n" not in message
    for bug in (ZeroDivisionError(), OSError(errno.EINVAL, "of no file")):  # keeps its traceback
        with pytest.raises(type(bug)):
            fails(bug)


def test_torchrun_names_the_mistake_as_the_cause(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert fails(AudioError("a.wav is empty")) == 2
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=2, error_file=str(tmp_path / "error.json"))
    assert "traceback : a.wav is empty" in str(ChildFailedError("train.py", {0: failure}))


def test_a_file_that_the_system_refuses_is_one_line_with_its_own_name(tmp_path, capsys):
    @entry_point
    def main(argv):
        write_json(tmp_path / argv[0], {})

    (tmp_path / "a file").touch()
    refused = {"a file/x.json": "a file", "x" * 300: "File name too long"}
    if os.path.exists("/dev/full"):  # a disk that is always full
        with replacing(tmp_path / "full.json") as temporary:  # learn its name
            temporary.touch()
        temporary.symlink_to("/dev/full")
        refused["full.json"] = "no space left on the disk while writing"
    for name, words in refused.items():
        assert main([name]) == 2
        message = capsys.readouterr().err.strip()
        assert words in message and str(tmp_path) in message
        assert "tmp." not in message and "\n" not in message


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device().type in ("cpu", "cuda", "mps")
    for name in ("toaster", "meta", "xpu", f"cuda:{torch.cuda.device_count()}"):
        with pytest.raises(ConfigError, match=name):
            resolve_device(name)


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


def test_a_bar_becomes_json_lines_when_asked_to_and_other_lines_are_no_events(monkeypatch, capsys):
    monkeypatch.setenv("GLOW_SVC_PROGRESS", "json")
    for _ in progress_bar(range(2), desc="读 clips", unit="clip", mininterval=0):
        pass
    bar = progress_bar(desc="download", unit="B", mininterval=0)
    bar.update(5)
    bar.set_postfix({"loss": 0.5})
    bar.close()
    with seconds_bar("song") as show:
        show(0.0, 0.0)  # while it is read
        show(30.2, 120.0)
    events = [ProgressEvent.from_line(line) for line in capsys.readouterr().err.splitlines()]
    assert None not in events
    assert [(e.stage, e.done, e.total) for e in events[:3]] == [("读 clips", n, 2) for n in range(3)]
    assert events[1].eta is not None and events[1].eta >= 0
    last = next(event for event in reversed(events) if event.stage == "download")
    assert (last.done, last.total, last.eta, last.unit) == (5, None, None, "B")
    assert last.numbers == {"loss": "0.5"}
    assert {event.total for event in events if event.stage == "song"} == {None, 120}
    song = events[-1]
    assert (song.stage, song.done, song.total, song.unit) == ("song", 30, 120, "s") and song.eta >= 0
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


@pytest.mark.parametrize(
    ("chosen", "spin"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_idle_threads_spin_briefly_unless_the_user_chose(chosen, spin):
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")}
    code = "import train, os, sys; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**kept, **chosen}, capture_output=True, text=True
    )
    assert done.stdout.split() == [spin, "False"], done.stderr
