"""Text to speech with edge-tts, which needs the network, or espeak-ng, which does not.

Both are optional; a program that is missing says how to install it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from modules.common.errors import ConfigError, GlowSVCError
from modules.common.files import replacing

LONGEST = 5000  # characters
_TIMEOUT = 60  # s
EDGE, ESPEAK = "edge-tts", "espeak-ng"


@dataclass(frozen=True)
class TtsProgram:
    """A text-to-speech program.

    Attributes:
        missing: How to install it; empty if it is installed.
        suffix: Of the files that it writes.
        voices: Lists the names of its voices.
        speak: Writes speech, from text, voice, speed (1 is normal) and file.
    """

    missing: str
    suffix: str
    voices: Callable[[], Sequence[str]]
    speak: Callable[[str, str, float, Path], None]


def programs() -> dict[str, TtsProgram]:
    """Programs by name, the installed ones first."""
    package = importlib.util.find_spec("edge_tts") is not None
    found = {
        EDGE: TtsProgram(
            "" if package else "edge-tts is not installed; pip install edge-tts (it needs the network)",
            ".mp3",
            _edge_voices,
            _edge,
        ),
        ESPEAK: TtsProgram(
            "" if shutil.which(ESPEAK) else "espeak-ng is not installed; apt install espeak-ng",
            ".wav",
            _espeak_voices,
            _espeak,
        ),
    }
    return dict(sorted(found.items(), key=lambda entry: bool(entry[1].missing)))


def voices(name: str) -> list[str]:
    """Voices of a program, by language.

    Raises:
        ConfigError: The program is unknown or not installed.
    """
    return sorted(_usable(name).voices())


def speak(text: str, name: str, voice: str, speed: float, path: Path) -> Path:
    """Write ``text`` as speech; return the file, which is ``path`` with the program's suffix.

    Args:
        text: Up to 5000 characters.
        name: Of the program.
        voice: One of its voices.
        speed: 0.5 to 2; 1 is normal.
        path: File to write, without suffix.

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
    program = _usable(name)
    if voice not in program.voices():
        raise ConfigError(f"{name} has no voice {voice!r}")
    result = path.with_name(path.name + program.suffix)
    with replacing(result) as temporary:
        program.speak(text, voice, speed, temporary)
        if not temporary.is_file() or not temporary.stat().st_size:
            raise GlowSVCError(f"{name} made no sound from this text; try another voice")
    return result


def _usable(name: str) -> TtsProgram:
    program = programs().get(name)
    if program is None:
        raise ConfigError(f"there is no program {name!r}; choose one of {', '.join(programs())}")
    if program.missing:
        raise ConfigError(program.missing)
    return program


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
        raise GlowSVCError(
            f"{command[0]} failed: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}"
        )
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

    async def result() -> Any:
        return await asyncio.wait_for(request, _TIMEOUT)

    try:
        return asyncio.run(result())
    except Exception as error:  # of the package, its network library, or the system
        reason = str(error) or type(error).__name__
        raise GlowSVCError(f"edge-tts needs the network, which does not answer: {reason}") from None
