"""Files, registry, command line and device: each small enough to share a page."""

import errno
import os
from pathlib import Path

import pytest
import torch

from modules.common.cli import entry_point
from modules.common.device import resolve_device
from modules.common.errors import AudioError, ConfigError
from modules.common.files import replacing, write_json, write_text
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
