"""Files, registry, command line and device: each small enough to share a page."""

import errno
from dataclasses import dataclass

import pytest
import torch

from modules.cli import entry_point
from modules.device import resolve_device
from modules.errors import AudioError, ConfigError
from modules.files import replacing, write_json
from modules.registry import Registry


@dataclass(frozen=True)
class Line:
    target: str


def test_a_registry_builds_lazily_and_lists_what_there_is():
    table = Registry("toy", {"good": Line("fractions:Fraction"), "absent": Line("no.such.module:Thing")})
    assert list(table) == ["good", "absent"] and len(table) == 2 and "other" not in table
    assert table.build("good", 1, 2) * 2 == 1
    with pytest.raises(ConfigError, match="unknown toy 'other'; choose one of: good, absent"):
        table["other"]


def test_replacing_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "名 a.json"
    write_json(path, {"名": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert "名" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (AudioError("a.wav is empty"), 2, "a.wav is empty"),
        (KeyboardInterrupt(), 130, "run the same command to continue"),
        (OSError(errno.ENOSPC, "full", "b.pt"), 2, "no space left on the disk while writing b.pt"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(capsys, error, code, words):
    @entry_point
    def main(argv=None):
        raise error

    assert main([]) == code
    message = capsys.readouterr().err.strip()
    assert words in message and "\n" not in message


def test_a_bug_keeps_its_traceback():
    @entry_point
    def main(argv=None):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main([])


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device().type in ("cpu", "cuda", "mps")
    for name in ("toaster", f"cuda:{torch.cuda.device_count()}"):
        with pytest.raises(ConfigError, match=name):
            resolve_device(name)
