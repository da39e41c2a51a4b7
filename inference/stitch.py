"""Stitching of rendered slices: sample-exact, free of clicks, streamed.

:func:`plan` gives the samples that each slice renders, :class:`Stitcher` takes
the rendered slices in order and returns what is finished. All lengths are
samples of the *output*: the published project took them from the input's
sampling rate, and results of 22 050 Hz files came out a tenth too long.
:class:`PitchTrack` lets the slices agree on the pitch where they overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from modules.dsp.slicer import LONGEST, Range

JOIN = 0.02  # s; cross-fade at a cut, at forced ones at least: one period of the lowest voice


@dataclass(frozen=True)
class Chunk:
    """One slice to render: samples ``start`` to ``end`` (excluded) of the recording."""

    start: int
    end: int
    silent: bool  # digital silence, with nothing to render
    fade_in: int = 0  # samples shared with the chunk before
    fade_out: int = 0  # samples shared with the chunk after

    def __len__(self) -> int:
        return self.end - self.start


def plan(
    ranges: Sequence[Range],
    sampling_rate: int,
    clip: float = 0.0,
    linear_gradient: float = 0.0,
    linear_gradient_retain: float = 0.75,
) -> list[Chunk]:
    """Plan the chunks that tile the recording, in order, each with its overlaps.

    The ranges of modules/dsp/slicer.py are cut to ``clip`` s; 0 leaves them whole.
    A forced clip of the published project renders ``linear_gradient`` s of its
    predecessor as well; the share ``linear_gradient_retain`` in the middle of that is
    blended and the rest is dropped. Here the dropped part is not rendered, since
    every chunk has real audio around it; and at least 20 ms are blended, as at
    silences and other cuts.
    """
    fade, step = round(JOIN * sampling_rate), int(clip * sampling_rate)
    overlap = int(linear_gradient * sampling_rate) if clip else 0
    blended = max(int(overlap * linear_gradient_retain), min(fade, step))
    overlap = max(overlap, blended)
    begin = (overlap - blended) // 2 - overlap  # of the blend, seen from the cut
    tiles, forced = _cut_ranges(ranges, round(LONGEST * sampling_rate), step)

    def shared(left: Range, right: Range) -> range:
        """Samples that both neighbours render."""
        cut = left.end
        if cut in forced:
            return range(cut, cut) if left.silent else range(cut + begin, cut + begin + blended)
        voiced = right if left.silent else left
        free = voiced.end - voiced.start - (overlap if voiced.end in forced else 0)
        short = max(0, min(fade, free // 2))  # the other end may need as much
        return range(cut, cut + short) if left.silent else range(cut - short, cut)

    joins = [shared(left, right) for left, right in pairwise(tiles)]
    edges = (
        [range(tiles[0].start, tiles[0].start), *joins, range(tiles[-1].end, tiles[-1].end)] if tiles else []
    )
    return [
        Chunk(before.start, after.stop, tile.silent, len(before), len(after))
        for tile, (before, after) in zip(tiles, pairwise(edges), strict=True)
    ]


def _cut_ranges(ranges: Sequence[Range], longest_silence: int, clip: int) -> tuple[list[Range], set[int]]:
    """Cut ``ranges`` to the given lengths (0: not at all); return them and the cuts."""
    tiles: list[Range] = []
    forced: set[int] = set()
    for piece in ranges:
        step = longest_silence if piece.silent else clip
        cuts = range(piece.start + step, piece.end, step) if step else range(0)
        forced.update(cuts)
        bounds = pairwise([piece.start, *cuts, piece.end])
        tiles += [Range(start, end, piece.silent) for start, end in bounds]
    return tiles, forced


class Stitcher:
    """Cross-fades rendered chunks; holds no more than one cross-fade."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)

    def push(self, chunk: Chunk, audio: np.ndarray) -> np.ndarray:
        """Add ``audio`` (len(chunk),), the next chunk; return the samples (T,) that are finished.

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


class PitchTrack:
    """Pitch of a song, of which the slices give their parts in order.

    What one slice has given stays: where two overlap, their sources then sound in unison.
    """

    def __init__(self, n_frames: int) -> None:
        self.f0 = np.zeros(n_frames, np.float32)  # Hz, without gaps
        self.uv = np.zeros(n_frames, np.float32)
        self._given = np.zeros(n_frames, bool)
        self.first: int | None = None  # frame at which the first slice begins

    def begin(self, first: int, group: int) -> int:
        """Frame, at ``first`` or before, at which the next slice begins: groups of frames are the song's."""
        if self.first is None:
            self.first = first
        return first - (first - self.first) % group

    def add(
        self, first: int, f0: np.ndarray, uv: np.ndarray, start: int, end: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add frames ``start`` to ``end`` of a slice's F0 and uv (N,), which begin at frame ``first``.

        Return both, with what was given before in its place.
        """
        frames = np.arange(max(first, 0), min(first + len(f0), len(self.f0)))
        old, new = frames[self._given[frames]], frames[(frames >= start) & (frames < end)]
        f0, uv = f0.copy(), uv.copy()
        for own, song in ((f0, self.f0), (uv, self.uv)):
            own[old - first] = song[old]
            song[new] = own[new - first]
        self._given[new] = True
        return f0, uv
