"""Putting rendered slices together again: sample-exact, free of clicks, in a stream.

:func:`plan` says which samples each slice renders, :class:`Stitcher` takes the
renderings in order and hands out what is finished. All lengths are samples of
the *output*: the published project took them from the input's sampling rate,
and a 22 050 Hz song came out a tenth too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.options import check_clips
from modules.dsp.slicer import LONGEST, Range

JOIN = 0.02  # s; fade between slices that nobody asked for: one period of the lowest voice


@dataclass(frozen=True)
class Chunk:
    """One slice to render: samples ``start`` to ``end`` (excluded) of the song.

    Attributes:
        start: First sample.
        end: Where it ends.
        silent: Nothing to render: it is digital silence.
        fade_in: How many of its first samples it shares with the chunk before.
        fade_out: How many of its last samples it shares with the chunk after.
    """

    start: int
    end: int
    silent: bool
    fade_in: int = 0
    fade_out: int = 0

    def __len__(self) -> int:
        return self.end - self.start


def plan(
    ranges: Sequence[Range],
    sampling_rate: int,
    clip: float = 0.0,
    linear_gradient: float = 0.0,
    linear_gradient_retain: float = 0.75,
) -> list[Chunk]:
    """Return the chunks that tile the song, in order, each with its overlaps.

    A forced clip of the published project renders ``linear_gradient`` s of its
    predecessor as well; the middle ``linear_gradient_retain`` of that is
    blended and the rest is dropped. Here the dropped part is not rendered, since
    every chunk is rendered with real sound around it. Where silence, or a cut
    that nobody asked for, meets singing, they blend over 20 ms of the singing.

    Args:
        ranges: Tiles of the song, from modules/dsp/slicer.py.
        sampling_rate: Of the output, Hz.
        clip: Singing is cut every so many seconds; 0 leaves the ranges whole.
        linear_gradient: Cross-fade of two forced clips, s.
        linear_gradient_retain: Share of it that is blended.

    Raises:
        ConfigError: See :func:`inference.options.check_clips`.
    """
    check_clips(clip, linear_gradient, linear_gradient_retain)
    overlap = int(linear_gradient * sampling_rate) if clip else 0
    blended = int(overlap * linear_gradient_retain)
    begin = (overlap - blended) // 2 - overlap  # of the blend, seen from the cut
    fade = round(JOIN * sampling_rate)
    tiles, forced = _cut_ranges(ranges, round(LONGEST * sampling_rate), int(clip * sampling_rate))

    def shared(left: Range, right: Range) -> range:
        """Return the samples that both neighbours render."""
        cut = left.end
        if cut in forced:
            return range(cut, cut) if left.silent else range(cut + begin, cut + begin + blended)
        sung = right if left.silent else left
        free = sung.end - sung.start - (overlap if sung.end in forced else 0)
        short = max(0, min(fade, free // 2))  # the other end may need as much
        return range(cut, cut + short) if left.silent else range(cut - short, cut)

    joins = [shared(left, right) for left, right in zip(tiles, tiles[1:], strict=False)]
    edges = [range(0), *joins, range(tiles[-1].end, tiles[-1].end)] if tiles else []
    return [
        Chunk(before.start, after.stop, tile.silent, len(before), len(after))
        for tile, before, after in zip(tiles, edges, edges[1:], strict=False)
    ]


def _cut_ranges(ranges: Sequence[Range], longest_silence: int, clip: int) -> tuple[list[Range], set[int]]:
    """Return ``ranges`` cut to the given lengths (0: not at all), and where they were cut."""
    tiles: list[Range] = []
    forced: set[int] = set()
    for piece in ranges:
        step = longest_silence if piece.silent else clip
        cuts = range(piece.start + step, piece.end, step) if step else range(0)
        forced.update(cuts)
        bounds = [piece.start, *cuts, piece.end]
        tiles += [Range(start, end, piece.silent) for start, end in zip(bounds, bounds[1:], strict=False)]
    return tiles, forced


class Stitcher:
    """Joins rendered chunks; holds no more than one cross-fade."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)

    def push(self, chunk: Chunk, audio: np.ndarray) -> np.ndarray:
        """Return the samples (T,) that ``audio`` (len(chunk),), the next chunk, completes.

        Raises:
            ValueError: ``audio`` has another length than its chunk, or does not
                follow the chunk before.
        """
        if len(audio) != len(chunk) or len(self._held) != chunk.fade_in:
            raise ValueError(f"got {len(audio)} samples after {len(self._held)} held ones for {chunk}")
        audio = audio.astype(np.float32)  # a copy, so the caller's stays as it is
        if chunk.fade_in:
            rising = np.linspace(0, 1, chunk.fade_in, dtype=np.float32)
            audio[: chunk.fade_in] = self._held * (1 - rising) + audio[: chunk.fade_in] * rising
        finished = len(audio) - chunk.fade_out
        self._held = audio[finished:].copy()
        return audio[:finished]
