"""Text to speech with edge-tts, which needs the network, or espeak-ng, which does not.

Both are optional; a program that is missing says how to install it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import subprocess
from collections.abc import Coroutine, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from modules.common.errors import ConfigError, GlowSVCError
from modules.common.files import replacing

LONGEST = 5000  # characters
_TIMEOUT = 60  # s
EDGE, ESPEAK = "edge-tts", "espeak-ng"
INSTALL = {EDGE: "pip install edge-tts (it needs the network)", ESPEAK: "apt install espeak-ng"}


def installed() -> list[str]:
    """Names of the installed programs."""
    found = {EDGE: importlib.util.find_spec("edge_tts"), ESPEAK: shutil.which(ESPEAK)}
    return [name for name, place in found.items() if place]


def voices(name: str) -> list[str]:
    """Voices of a program, by language; raises ConfigError if it is unknown or not installed."""
    if name not in INSTALL:
        raise ConfigError(f"there is no program {name!r}; choose one of {', '.join(INSTALL)}")
    if name not in installed():
        raise ConfigError(f"{name} is not installed; {INSTALL[name]}")
    return sorted(_edge_voices() if name == EDGE else _espeak_voices())


def speak(text: str, name: str, voice: str, speed: float, path: Path) -> Path:
    """Write ``text``, up to 5000 characters, as speech by the program ``name``.

    The speed is 0.5 to 2; 1 is normal. Returns the file, ``path`` with the program's suffix.

    Raises:
        ConfigError: The program is not installed, or an argument is wrong.
        GlowSVCError: The program failed.
    """
    text = text.strip()
    if not text:
        raise ConfigError("write the text to speak")
    if len(text) > LONGEST:
        raise ConfigError(f"the text has {len(text)} characters; at most {LONGEST} are allowed")
    if not 0.5 <= speed <= 2:
        raise ConfigError(f"the speed must be between 0.5 and 2, not {speed:g}")
    if voice not in voices(name):
        raise ConfigError(f"{name} has no voice {voice!r}")
    write, suffix = (_edge, ".mp3") if name == EDGE else (_espeak, ".wav")
    result = path.with_name(path.name + suffix)
    with replacing(result) as temporary:
        write(text, voice, speed, temporary)
        if not temporary.is_file() or not temporary.stat().st_size:
            raise GlowSVCError(f"{name} made no sound from this text; try another voice")
    return result


def _espeak_voices() -> list[str]:
    lines = _run([ESPEAK, "--voices"], None).splitlines()[1:]
    return [line.split()[1] for line in lines if len(line.split()) > 3]


def _espeak(text: str, voice: str, speed: float, path: Path) -> None:
    _run([ESPEAK, "-v", voice, "-s", str(round(175 * speed)), "-w", str(path), "--stdin"], text)


def _run(command: Sequence[str], text: str | None) -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, encoding="utf-8", timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GlowSVCError(f"{command[0]} does not answer: {error}") from None
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise GlowSVCError(f"{command[0]} failed: {reason}")
    return done.stdout


@cache
def _edge_voices() -> list[str]:
    import edge_tts

    return [voice["ShortName"] for voice in _online(edge_tts.list_voices())]


def _edge(text: str, voice: str, speed: float, path: Path) -> None:
    import edge_tts

    _online(edge_tts.Communicate(text, voice, rate=f"{(speed - 1) * 100:+.0f}%").save(str(path)))


def _online(request: Coroutine[Any, Any, Any]) -> Any:
    """Result of a request of the package."""
    try:
        return asyncio.run(asyncio.wait_for(request, _TIMEOUT))
    except Exception as error:  # of the package, its network library, or the system
        reason = str(error) or type(error).__name__
        raise GlowSVCError(f"edge-tts needs the network, which does not answer: {reason}") from None
