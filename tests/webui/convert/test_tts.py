import importlib.util
import shutil
import sys
from types import SimpleNamespace

import pytest
import soundfile

from modules.common.errors import ConfigError, GlowSVCError
from webui.convert import tts


def test_missing_programs_and_a_missing_network_are_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert tts.installed() == []
    for name in (tts.EDGE, tts.ESPEAK):
        with pytest.raises(ConfigError, match="is not installed"):
            tts.speak("hello", name, "en-us", 1.0, tmp_path / "x")
    with pytest.raises(ConfigError, match="there is no program 'sh'"):
        tts.speak("a", "sh", "", 1.0, tmp_path / "x")

    async def no_network():
        raise OSError("no route to host")

    edge_tts = SimpleNamespace(list_voices=no_network)
    monkeypatch.setitem(sys.modules, "edge_tts", edge_tts)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: edge_tts)
    with pytest.raises(GlowSVCError, match="needs the network.*no route to host"):
        tts.voices(tts.EDGE)


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_espeak_speaks(tmp_path):
    assert "en-us" in tts.voices(tts.ESPEAK)
    slow = tts.speak("Hello, -x world. 你好", tts.ESPEAK, "en-us", 0.5, tmp_path / "slow 声")
    fast = tts.speak("Hello, -x world. 你好", tts.ESPEAK, "en-us", 2.0, tmp_path / "fast.1")
    assert slow.name == "slow 声.wav" and fast.name == "fast.1.wav"
    assert soundfile.info(slow).duration > 1.5 * soundfile.info(fast).duration > 0.5
    for text, voice, speed, words in (
        ("  ", "en-us", 1.0, "write the text"),
        ("a" * 5001, "en-us", 1.0, "at most 5000"),
        ("a", "en-us", 9.0, "between 0.5 and 2"),
        ("a", "--help", 1.0, "has no voice"),
    ):
        with pytest.raises(ConfigError, match=words):
            tts.speak(text, tts.ESPEAK, voice, speed, tmp_path / "x")
