from types import SimpleNamespace

import pytest

import webUI


def test_a_mistake_is_one_line(script):
    for arguments, message in [
        (["--auth", "anna"], "--auth wants NAME:PASSWORD"),
        (["--auth", ":x"], "--auth wants NAME:PASSWORD"),
        (["--port", "70000"], "--port must be between"),
        (["-m", "/etc/passwd"], "is not in the project folder"),
        (["-m", "nothing.pth", "-c", "nothing.json"], "nothing.json"),
    ]:
        done = script(webUI.main, *arguments)
        assert done.is_mistake(message) and done.err.startswith("webUI.py: ")


def test_only_this_machine_unless_asked():
    parser = webUI.get_parser()
    assert parser.parse_args([]).listen == "127.0.0.1"
    assert parser.parse_args(["--listen"]).listen == "0.0.0.0"
    assert parser.parse_args(["--listen", "192.168.0.2"]).listen == "192.168.0.2"


@pytest.fixture
def served(monkeypatch, tmp_path, capsys):
    """Run the script with a page that ends at once; return its output."""

    def serve(*arguments):
        return SimpleNamespace(local_url="http://here/", share_url=None, block_thread=lambda: None)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setattr("webui.app.serve", serve)

    def run(*arguments):
        assert webUI.main(arguments) == 0
        return capsys.readouterr()

    return run


def test_access_from_elsewhere_is_pointed_out(served):
    for arguments, words in [
        (["--listen"], "reaches this machine can use the page"),
        (["--share"], "has the public link can use the page"),
        (["--share", "--listen"], "reaches this machine or has the public link can use the page"),
    ]:
        assert f"everyone who {words}; --auth NAME:PASSWORD asks for a login" in served(*arguments).out
        assert "everyone" not in served(*arguments, "--auth", "anna:secret").out
    assert "everyone" not in served().out


def test_what_belongs_to_a_voice_has_no_effect_without_one(served):
    for arguments in (["-c", "config.json"], ["-d", "cpu"]):
        message = served(*arguments).err
        assert "have no effect without it" in message and message.count("\n") == 1
    assert served().err == ""
