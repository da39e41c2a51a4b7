"""Data sets of recordings as users have them: one folder for each singer, clips of some seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

from synthetic_voice.compose import compose
from synthetic_voice.performance import sing
from synthetic_voice.score import check_seconds, generator
from synthetic_voice.singers import SyntheticSinger, find_singer

SHORTEST_CLIP, LONGEST_CLIP = 4.0, 10.0  # s


def clip_lengths(seconds: float, seed: int) -> list[float]:
    """Lengths in s, of 4 to 10 s where ``seconds`` allow it, that add up to ``seconds``."""
    check_seconds(seconds)
    rng = generator(seed, 4)
    lengths = []
    while seconds > LONGEST_CLIP:
        lengths.append(round(rng.uniform(SHORTEST_CLIP, min(LONGEST_CLIP, seconds - SHORTEST_CLIP)), 2))
        seconds -= lengths[-1]
    return [*lengths, round(seconds, 2)]


def write_dataset(
    folder: str | Path, singers: Iterable[str | SyntheticSinger], seconds: float, seed: int = 0
) -> Iterator[Path]:
    """Write ``seconds`` of each singer at 44.1 kHz as folder/<singer>/<nn>.wav; yield each path once written.

    Every clip is another song, which depends only on ``seed``, the singer's name
    and its number. Raises ConfigError for an unknown singer, or invalid ``seconds`` or ``seed``.
    """
    voices = [find_singer(singer) for singer in singers]
    lengths = clip_lengths(seconds, seed)

    def write() -> Iterator[Path]:  # apart, so that errors are raised at the call
        from modules.dsp.audio import write_audio  # which needs a sound file library

        for voice in voices:
            for number, length in enumerate(lengths, 1):
                song = crc32(f"{seed}/{voice.name}/{number}".encode())
                performance = sing(compose(voice, length, song), voice, song)
                path = Path(folder) / voice.name / f"{number:02d}.wav"
                write_audio(path, performance.audio, performance.sampling_rate, subtype="PCM_16")
                yield path

    return write()
