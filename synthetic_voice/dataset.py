"""Folders of recordings, as a user would bring them: one folder a singer, clips of some seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

from modules.common.files import write_json
from synthetic_voice.compose import compose
from synthetic_voice.performance import sing
from synthetic_voice.score import check_seconds, generator
from synthetic_voice.singers import Singer, find_singer

SHORTEST_CLIP, LONGEST_CLIP = 4.0, 10.0  # s


def clip_lengths(seconds: float, seed: int) -> list[float]:
    """Return lengths in s, of 4 to 10 s where ``seconds`` allow it, that add up to ``seconds``."""
    check_seconds(seconds)
    rng = generator(seed, 4)
    lengths = []
    while seconds > LONGEST_CLIP:
        lengths.append(round(rng.uniform(SHORTEST_CLIP, min(LONGEST_CLIP, seconds - SHORTEST_CLIP)), 2))
        seconds -= lengths[-1]
    return [*lengths, round(seconds, 2)]


def write_dataset(
    folder: str | Path,
    singers: Iterable[str | Singer],
    seconds: float,
    seed: int = 0,
    *,
    sampling_rate: int = 44100,
    truth: bool = False,
) -> Iterator[Path]:
    """Write ``seconds`` of each singer as folder/<singer>/<nn>.wav, and yield each path once written.

    Every clip is another song; which one depends on ``seed``, the singer's
    name and its number only. ``truth`` adds <nn>.json beside it.

    Raises:
        ConfigError: a singer is unknown, or ``seconds`` or ``seed`` is no use.
    """
    voices = [find_singer(singer) for singer in singers]
    lengths = clip_lengths(seconds, seed)
    return _write(Path(folder), voices, lengths, seed, sampling_rate, truth)


def _write(
    folder: Path, voices: list[Singer], lengths: list[float], seed: int, sampling_rate: int, truth: bool
) -> Iterator[Path]:
    from modules.dsp.audio import write_audio  # singing alone needs no sound file library

    for voice in voices:
        for number, length in enumerate(lengths, 1):
            song = crc32(f"{seed}/{voice.name}/{number}".encode())
            performance = sing(compose(voice, length, song), voice, song, sampling_rate)
            path = folder / voice.name / f"{number:02d}.wav"
            write_audio(path, performance.audio, sampling_rate, subtype="PCM_16")
            if truth:
                write_json(path.with_suffix(".json"), performance.truth())
            yield path
