import logging

import pytest

from modules.common.cli import _LogFormatter, entry_point
from modules.common.errors import ConfigError
from modules.common.text import is_line, printable


def test_only_what_belongs_in_a_line_is_kept():
    for text in ("花子 <b>", "é à 👩‍🎤", "a b\u3000c", ""):
        assert printable(text) == text and is_line(text)
    for text, shown in (
        ("a\x00b", r"a\x00b"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\u2028c\x85", r"a\nb\u2028c\x85"),
        ("\ud800\udc8c", r"\ud800\udc8c"),
        ("a\rb\x7f", r"a\rb\x7f"),
    ):
        assert printable(text) == shown and not is_line(text)
    assert printable("a\n\x1b", keep="\n") == "a\n\\x1b"


def test_a_terminal_gets_no_control_characters(capsys):
    @entry_point
    def main(argv=None):
        raise ConfigError("no speaker \x1b[2J\ud800")

    assert main([]) == 2
    assert capsys.readouterr().err.endswith("no speaker \\x1b[2J\\ud800\n")


def test_a_record_holds_no_control_characters_but_the_traceback_of_its_exception():
    record = logging.makeLogRecord({"msg": "of \x1b[2J", "levelno": logging.ERROR, "levelname": "ERROR"})
    assert _LogFormatter().format(record) == "error: of \\x1b[2J"
    with pytest.raises(KeyError) as caught:
        {}["x"]
    record.exc_info = (caught.type, caught.value, caught.tb)
    assert "Traceback" in _LogFormatter().format(record)
