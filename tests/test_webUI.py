import pytest

import webUI


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--auth", "anna"], "--auth wants NAME:PASSWORD"),
        (["--auth", ":x"], "--auth wants NAME:PASSWORD"),
        (["--port", "70000"], "--port must be between"),
        (["-m", "/etc/passwd"], "is not in the project folder"),
        (["-m", "nothing.pth", "-c", "nothing.json"], "nothing.json"),
    ],
)
def test_a_mistake_is_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert webUI.main(arguments) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1 and message.startswith("webUI.py: ")


def test_only_this_machine_unless_asked():
    parser = webUI.get_parser()
    assert parser.parse_args([]).listen == "127.0.0.1"
    assert parser.parse_args(["--listen"]).listen == "0.0.0.0"
    assert parser.parse_args(["--listen", "192.168.0.2"]).listen == "192.168.0.2"
