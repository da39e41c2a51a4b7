"""Slicing a song at its silences, or else where it is quietest.

All decisions are made on the loudness curve, 50 values a second, which a
:class:`LoudnessMeter` collects block by block, so that a song of any length is
sliced without being held in memory. ``librosa.feature.rms`` needs the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np

from modules.common.errors import ConfigError
from modules.dsp.infrasound import without_rumble, without_rumble_at_end

LONGEST = 30.0  # s, rendered at once; bounds the memory whatever the length of the song
SHORTEST = 5.0  # s, left at least by a cut for length: encoders need context
ORDINARY = 10 ** (-24 / 20)  # level of a soft recording; for those below it, thresholds are lowered as much
FAINTEST = 10 ** (-90 / 20)  # level below which there is only dither
_LOUDEST = 150  # frames, 3 s


@dataclass(frozen=True)
class Range:
    """Samples ``start`` to ``end`` (excluded) of a song, and whether they are silent."""

    start: int
    end: int
    silent: bool


@dataclass(frozen=True, kw_only=True)
class SliceRule:
    """Silences to cut at; the defaults are the published ones.

    Raises:
        ConfigError: The times contradict each other.
    """

    threshold: float = -40.0  # loudness below which a frame is silent, dB relative to full scale
    min_length: float = 5.0  # s; shorter songs stay whole, and no slice between two silences is shorter
    min_interval: float = 0.3  # s, the shortest silence that is cut
    max_kept: float = 5.0  # s of a longer silence that stay with the singing on either side, at most
    hop: float = 0.02  # s between two loudness frames

    def __post_init__(self) -> None:
        if not self.min_length >= self.min_interval >= self.hop > 0 or self.max_kept < self.hop:
            raise ConfigError(
                "slicing needs min_length ≥ min_interval ≥ hop > 0 and max_kept ≥ hop, not "
                f"{self.min_length}, {self.min_interval}, {self.hop} and {self.max_kept} s"
            )

    def hop_length(self, sampling_rate: int) -> int:
        """Samples per loudness frame."""
        return max(1, round(sampling_rate * self.hop))

    def for_song(self, rms: np.ndarray) -> SliceRule:
        """Lower the threshold as far as the song of this curve (R,) lies below an ordinary level."""
        return replace(self, threshold=self.threshold + 20 * math.log10(softness(song_level(rms))))

    def frames(self, seconds: float, sampling_rate: int) -> int:
        """``seconds`` in loudness frames."""
        return round(sampling_rate * seconds / self.hop_length(sampling_rate))


PUBLISHED = SliceRule()


class LoudnessMeter:
    """Loudness curve of a recording that comes in blocks.

    Frame i is the RMS of the four hops centred on sample ``i * hop_length``
    (two hops to find shorter silences), with silence assumed beyond both ends; T
    samples give ``T // hop_length + 1`` frames. Offset and rumble do not count, where most of a hop is that.
    """

    def __init__(self, sampling_rate: int, rule: SliceRule = PUBLISHED) -> None:
        self.hop_length = rule.hop_length(sampling_rate)
        self._span = 4 if rule.min_interval >= 4 * rule.hop else 2  # hops per frame
        self._rest = np.zeros(0, np.float32)
        self._energies: list[np.ndarray] = []

    def feed(self, audio: np.ndarray) -> None:
        """Add the next samples (T,), any number of them."""
        audio = np.concatenate([self._rest, audio])
        whole = len(audio) // self.hop_length * self.hop_length
        hops = audio[:whole].reshape(-1, self.hop_length).astype(np.float64)
        hops = without_rumble(hops)
        self._energies.append(np.einsum("ij,ij->i", hops, hops))
        self._rest = audio[whole:]

    def rms(self) -> np.ndarray:
        """Curve (R,) of everything fed so far, float64."""
        rest = without_rumble_at_end(self._rest, self.hop_length)
        last = np.square(rest, dtype=np.float64).sum(keepdims=True)
        half = self._span // 2
        energy = np.pad(np.concatenate([*self._energies, last]), (half, half - 1))
        windows = np.lib.stride_tricks.sliding_window_view(energy, self._span)
        return np.sqrt(windows.sum(axis=1) / (self._span * self.hop_length))


def measure(audio: np.ndarray, sampling_rate: int, rule: SliceRule = PUBLISHED) -> np.ndarray:
    """Loudness curve (R,) of ``audio`` (T,), see :class:`LoudnessMeter`."""
    meter = LoudnessMeter(sampling_rate, rule)
    meter.feed(audio)
    return meter.rms()


def song_level(rms: np.ndarray) -> float:
    """Level of a song, linear: what the loudest 5 % of its curve (R,) exceed, but at most 3 s of them.

    So neither single pops decide, nor how much of the recording is silent. 0 without any frame.
    """
    if len(rms) == 0:
        return 0.0
    rank = max(1, min(len(rms) // 20, _LOUDEST))
    return float(np.partition(rms, len(rms) - rank)[len(rms) - rank])


def softness(level: float) -> float:
    """Factor, at most 1, on thresholds for a song of this level; 1 if it is ordinary, or mere dither."""
    return min(1.0, level / ORDINARY) if level > FAINTEST else 1.0


def slice_ranges(
    rms: np.ndarray, n_samples: int, sampling_rate: int, rule: SliceRule = PUBLISHED
) -> list[Range]:
    """Cut a song at its silences, as in the published project; the ranges tile it.

    Two published defects are not kept: there a song counts as too short to be
    sliced when its *samples* number less than the *frames* of ``min_length``,
    and silence before the singing is only cut when longer than ``max_kept``.
    And a song that is silent throughout is one silent range.

    ``rms`` (R,) is the curve of a :class:`LoudnessMeter` with the same rule.
    """
    hop = rule.hop_length(sampling_rate)
    silent = rms < 10.0 ** (rule.threshold / 20.0)
    if silent.all() or n_samples <= rule.frames(rule.min_length, sampling_rate) * hop:
        return [Range(0, n_samples, bool(silent.all()))] if n_samples else []
    frames = chain.from_iterable(_cuts(rms, silent, rule, sampling_rate))
    bounds = [0, *(min(frame * hop, n_samples) for frame in frames), n_samples]
    tiles = [Range(start, end, i % 2 == 1) for i, (start, end) in enumerate(pairwise(bounds))]
    return [tile for tile in tiles if tile.end > tile.start]


def _cuts(rms: np.ndarray, silent: np.ndarray, rule: SliceRule, sampling_rate: int) -> list[tuple[int, int]]:
    """(first, last) frame of each range of silence to split off; equal where it is merely cut."""
    min_length, min_interval, kept = (
        rule.frames(seconds, sampling_rate) for seconds in (rule.min_length, rule.min_interval, rule.max_kept)
    )

    def quietest(first: int, last: int) -> int:
        return first + int(rms[first : last + 1].argmin())

    changes = np.flatnonzero(np.diff(silent.astype(np.int8), prepend=0, append=0))
    slice_start = 0
    cuts = []
    for start, end in changes.reshape(-1, 2).tolist():
        if end - start < min_interval:
            continue
        if end == len(rms):
            left, right = quietest(start, start + kept), end
        elif start == 0 and end > kept:
            left, right = 0, quietest(end - kept, end)
        elif start == 0:
            # of equal frames the last: digital silence is cut where the singing begins
            left, right = 0, end - 1 - int(rms[end - 1 :: -1].argmin())
        elif end - slice_start < min_length:
            continue
        elif end - start <= kept:
            left = right = quietest(start, end)
        else:
            left, right = quietest(start, start + kept), quietest(end - kept, end)
            if end - start <= 2 * kept:  # both sides search the middle: they must not overlap
                middle = quietest(end - kept, start + kept)
                left, right = min(left, middle), max(right, middle)
        cuts.append((left, right))
        slice_start = right
    return cuts


def limit_length(
    ranges: Sequence[Range],
    rms: np.ndarray,
    sampling_rate: int,
    rule: SliceRule = PUBLISHED,
    shortest: float = SHORTEST,
    longest: float = LONGEST,
) -> list[Range]:
    """Cut every range of singing of more than ``longest`` s where it is quietest.

    ``ranges`` are those of :func:`slice_ranges` for the same curve ``rms`` (R,) and rule. A cut
    falls in the second half of ``longest`` and leaves ``shortest`` s, at most a third of it.
    """
    hop = rule.hop_length(sampling_rate)
    most, least = round(longest * sampling_rate), round(shortest * sampling_rate)
    pieces = []
    for piece in ranges:
        start = piece.start
        while not piece.silent and piece.end - start > most:
            first = -(-(start + most // 2) // hop)
            last = min(start + most, piece.end - least) // hop
            cut = (first + int(rms[first : last + 1].argmin())) * hop
            pieces.append(Range(start, cut, False))
            start = cut
        pieces.append(Range(start, piece.end, piece.silent))
    return pieces


def preview_ranges(
    ranges: Sequence[Range],
    rms: np.ndarray,
    sampling_rate: int,
    rule: SliceRule,
    seconds: float,
    multiple: int = 1,
) -> list[Range]:
    """The part of ``ranges``, which tile a song, in the ``seconds`` of it that tell most.

    These are those with the most singing, a loudness within 20 dB of the song's level; of equals, the
    loudest. ``rms`` (R,) is the song's curve; the part begins at a multiple of ``multiple`` samples.
    """
    hop, n_samples = rule.hop_length(sampling_rate), ranges[-1].end if ranges else 0
    length = round(seconds * sampling_rate)
    if length >= n_samples:
        return list(ranges)
    loudness = np.minimum(rms / max(song_level(rms), 1e-9), 1.0)
    worth = (loudness > 0.1) + 1e-3 * loudness
    sums = np.concatenate([[0.0], np.cumsum(worth)])
    width = min(len(rms), length // hop)
    start = int((sums[width:] - sums[:-width]).argmax()) * hop
    start = min(start, n_samples - length) // multiple * multiple
    return [
        replace(piece, start=max(piece.start, start), end=min(piece.end, start + length))
        for piece in ranges
        if piece.start < start + length and piece.end > start
    ]
