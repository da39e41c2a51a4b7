import os
import re
from types import SimpleNamespace

import pytest

import webUI


def test_a_mistake_is_one_line(script):
    for arguments, message in [
        (["--auth", "anna"], "--auth wants NAME:PASSWORD"),
        (["--auth", ":x"], "--auth wants NAME:PASSWORD"),
        (["--no_auth", "--auth", "anna:secret"], "--no_auth contradicts --auth"),
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
    """Run the script with a page that ends at once; return its output, and the application's arguments."""
    given = []
    server = SimpleNamespace(
        local_url="http://here/",
        share_url="https://There.gradio.live",
        share=lambda: "there.gradio.live",
        wait=lambda: None,
        close=lambda: None,
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setattr("webui.app.build_app", lambda *arguments: given.append(arguments))
    monkeypatch.setattr("webui.server.PageServer", lambda *arguments: server)

    def run(*arguments):
        assert webUI.main(arguments) == 0
        _, _, logins, listen, names, debug = given[-1]
        written = capsys.readouterr()
        return SimpleNamespace(out=written.out, err=written.err, logins=logins, names=names)

    return run


def test_access_from_elsewhere_asks_for_a_password_unless_it_is_not_wanted(served, monkeypatch):
    for arguments, words in [
        (["--listen"], "reaches this machine can use the page"),
        (["--listen", "192.168.0.2"], "reaches this machine can use the page"),
        (["--share"], "has the public link can use the page"),
        (["--share", "--listen"], "reaches this machine or has the public link can use the page"),
    ]:
        made = re.search(r"log in as glow with the password (\S{16}), made", (done := served(*arguments)).out)
        assert made and done.logins and "everyone" not in done.out
        assert made[1] not in served(*arguments).out
        done = served(*arguments, "--no_auth")
        assert f"everyone who {words}: read and replace models" in done.out and not done.logins
        done = served(*arguments, "--auth", "anna:secret")
        assert done.logins and "log in" not in done.out and "everyone" not in done.out
        monkeypatch.setenv("GLOW_SVC_AUTH", "anna:secret")
        done = served(*arguments)
        assert done.logins and "log in" not in done.out and "GLOW_SVC_AUTH" not in os.environ
    for arguments in ([], ["--listen", "localhost"], ["--listen", "127.0.0.2"], ["--listen", "[::1]"]):
        done = served(*arguments)
        assert not done.logins and done.out == "Glow-SVC: http://here/\n"


def test_names_of_the_server_are_added(served):
    assert served("--allow_host", "Music.example", "--share").names == {"music.example", "there.gradio.live"}


def test_what_belongs_to_a_voice_has_no_effect_without_one(served):
    for arguments in (["-c", "config.json"], ["-d", "cpu"]):
        message = served(*arguments).err
        assert "have no effect without it" in message and message.count("\n") == 1
    assert served().err == ""
