import importlib.util
import shutil

import pytest
import soundfile

from modules.common.errors import ConfigError, GlowSVCError
from webui.convert import tts as speech


def test_programs_that_are_missing_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert all("install" in program.missing for program in speech.programs().values())
    for name in (speech.EDGE, speech.ESPEAK):
        with pytest.raises(ConfigError, match="is not installed"):
            speech.speak("hello", name, "en-us", 1.0, tmp_path / "x")


def test_without_a_network_edge_tts_says_so(tmp_path):
    async def no_network():
        raise OSError("no route to host")

    with pytest.raises(GlowSVCError, match="needs the network.*no route to host"):
        speech._online(no_network())


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_espeak_speaks(tmp_path):
    assert "en-us" in speech.voices(speech.ESPEAK)
    slow = speech.speak("Hello, -x world. 你好", speech.ESPEAK, "en-us", 0.5, tmp_path / "slow 声")
    fast = speech.speak("Hello, -x world. 你好", speech.ESPEAK, "en-us", 2.0, tmp_path / "fast.1")
    assert slow.name == "slow 声.wav" and fast.name == "fast.1.wav"
    assert soundfile.info(slow).duration > 1.5 * soundfile.info(fast).duration > 0.5


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
@pytest.mark.parametrize(
    ("text", "voice", "speed", "words"),
    [
        ("  ", "en-us", 1.0, "write the text"),
        ("a" * 5001, "en-us", 1.0, "at most 5000"),
        ("a", "en-us", 9.0, "between 0.5 and 2"),
        ("a", "--help", 1.0, "has no voice"),
    ],
)
def test_what_cannot_be_spoken(text, voice, speed, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        speech.speak(text, speech.ESPEAK, voice, speed, tmp_path / "x")


def test_an_unknown_program(tmp_path):
    with pytest.raises(ConfigError, match="there is no program 'sh'"):
        speech.speak("a", "sh", "", 1.0, tmp_path / "x")
