"""The last stage: all parts at their levels in one file, and each of them in its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.cover.options import CoverOptions
from inference.output import writing
from inference.peaks import HIGHEST
from modules.dsp.blocks import BLOCK, Samples
from separation.base import RATE

if TYPE_CHECKING:
    from inference.cover.stems import Report

# what a cover consists of, by the names of its files
COVER, ACAPPELLA, INSTRUMENTAL, BACKING, LEAD, VOCALS = (
    *("cover", "acappella", "instrumental", "backing", "lead", "vocals"),
)
PICTURE = "picture.png"
logger = logging.getLogger(__name__)

FILES = (COVER, ACAPPELLA, INSTRUMENTAL, BACKING, LEAD, VOCALS)


class Rest:
    """What a song (T, 2) has beside others: all parts together are the song again."""

    def __init__(self, song: Samples, *others: Samples) -> None:
        self._song, self._others = song, others

    def __len__(self) -> int:
        return len(self._song)

    def __getitem__(self, where: slice) -> np.ndarray:
        return self._song[where] - sum((other[where] for other in self._others), np.float32(0))


class Panned:
    """A mono recording (T, 1) at a place between left and right, (T, 2)."""

    def __init__(self, audio: Samples, pan: np.ndarray) -> None:
        self._audio, self._pan = audio, pan

    def __len__(self) -> int:
        return len(self._audio)

    def __getitem__(self, where: slice) -> np.ndarray:
        return self._audio[where] * self._pan


class Silence:
    """Nothing (T, 2)."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, where: slice) -> np.ndarray:
        start, stop, _ = where.indices(self._length)
        return np.zeros((stop - start, 2), np.float32)


def write_results(
    parts: Mapping[str, Samples],
    options: CoverOptions,
    folder: Path,
    wav_format: str,
    tag: str,
    report: Report,
) -> dict[str, Path]:
    """Write the cover and its parts to ``folder``; return the files by their names.

    ``parts`` (T, 2) by name are ACAPPELLA, the new voice, INSTRUMENTAL, BACKING, and the original's LEAD
    and VOCALS, which are not in the cover. The levels of the options are those in the cover; its parts are
    written as they are. One gain keeps all of them below full scale.
    """
    levels = {
        ACAPPELLA: options.vocal_level,
        BACKING: options.backing_level,
        INSTRUMENTAL: options.instrumental_level,
    }
    gains = {name: np.float32(10 ** (level / 20)) for name, level in levels.items()}
    length = len(parts[INSTRUMENTAL])

    def mixed() -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, length, BLOCK):
            where = slice(start, min(start + BLOCK, length))
            found = {name: _padded(part, where) for name, part in parts.items()}
            yield {COVER: sum((found[name] * gain for name, gain in gains.items()), np.float32(0)), **found}

    highest = max(float(np.abs(block).max()) for blocks in mixed() for block in blocks.values())
    whole = np.float32(min(1.0, HIGHEST / highest) if highest > 1 else 1.0)
    if whole < 1:
        logger.info("all parts are attenuated by %.1f dB to avoid clipping", -20 * np.log10(whole))
    with ExitStack() as stack:
        paths = {name: folder / f"{name}.{wav_format.lower()}" for name in (COVER, *parts)}
        files = {
            name: stack.enter_context(writing(path, RATE, wav_format, tag, channels=2))
            for name, path in paths.items()
        }
        done = 0
        for blocks in mixed():
            for name, block in blocks.items():
                files[name].write(block * whole)
            done += len(blocks[COVER])
            report(done / RATE, length / RATE)
    return paths


def _padded(part: Samples, where: slice) -> np.ndarray:
    """Samples ``where`` of a part, zeros beyond its end."""
    block = part[where]
    return np.pad(block, ((0, where.stop - where.start - len(block)), (0, 0)))
