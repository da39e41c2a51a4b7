"""A song whose pitch is edited: only the slices that an edit concerns are rendered again.

A slice depends on the pitch in its own frames and on the phase in which the slice before ends,
nothing else: noise goes by frame number, and the audio around it is the source's. So a
slice can be rendered alone, and all others stay as they are, to the bit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from inference.conversion import PitchFiles
from inference.key import choose_key
from inference.oom import within_memory
from inference.options.checks import AUTO_KEY, Key
from inference.output import result_tag, writing
from inference.pipeline import SongConverter
from inference.pitch import song
from inference.stitch import Chunk, PitchTrack, Stitcher
from modules.common.errors import AudioError, ConfigError
from modules.dsp.blocks import ScratchAudio

LONGEST = 900.0  # s of a song; its samples go to the page

Share = Callable[[float], None]  # done, 0 to 1; may raise to stop


class EditableSong:
    """A recording, its pitch before the key, and its slices as they were rendered last.

    ``f0`` (N,), Hz, 0 where unvoiced, is the pitch as tracked, with --autotune. ``scratch`` is a folder
    for two temporary files, 4 bytes a sample each, which :meth:`close` frees. Rendering is for one
    thread; others may read meanwhile. ``converter`` is that of the first rendering, or has its options.

    Raises:
        AudioError: The recording cannot be read, or lasts over 15 minutes.
        ConfigError: Unknown speaker; the model chooses the pitch (-a); no range is known for a key of "auto".
    """

    def __init__(
        self,
        converter: SongConverter,
        path: Path,
        scratch: Path,
        speaker: str | int,
        key: Key = 0.0,
        report: Share = lambda share: None,
    ) -> None:
        options, config = converter.options, converter.config
        if options.auto_predict_f0:
            raise ConfigError("-a: the model chooses the pitch, so there is none to edit; remove -a")
        self.path, self.speaker, self.data = path, speaker, config.data
        self.sampling_rate, self.hop_length = converter.sampling_rate, config.data.hop_length
        self.frame_rate = converter.frame_rate
        target = converter.target(speaker)
        trained = config.f0_range.get(target.name)
        self.source = converter.open_song(path, scratch, lambda done, total: report(0.0))
        try:
            if self.source.seconds > LONGEST:
                raise AudioError(
                    f"{path}: over {LONGEST / 60:g} minutes cannot be edited; cut the song first"
                )
            with within_memory(path, converter.device, options):
                self.chunks = converter.plan(self.source)
                nothing = np.full(self.source.n_samples // self.hop_length, np.nan, np.float32)
                semitones = 0.0 if key == AUTO_KEY else float(key)
                found = converter.track_pitch(self.source, self.chunks, nothing, semitones)
            self.f0 = song.edit(found, self.frame_rate, PitchFiles(), options)
            chosen = choose_key(self.f0, trained, target.name) if key == AUTO_KEY else None
            self.key = chosen.semitones if chosen else semitones
            self._places = [0, *accumulate(map(len, self.chunks))]  # of the slices in the file
            self._slices = ScratchAudio(scratch, (np.zeros(len(chunk), np.float32) for chunk in self.chunks))
        except BaseException:
            self.source.close()
            raise
        self._track = PitchTrack(len(self.f0))
        self._windows = {
            number: converter.window(chunk, self._track)
            for number, chunk in enumerate(self.chunks)
            if not chunk.silent
        }
        self._sung: dict[int, np.ndarray] = {}  # pitch that each slice was rendered with
        self._states: dict[int, list[Any]] = {}  # of the converter's clocks after it

    def close(self) -> None:
        """Free the disk."""
        self._slices.close()
        self.source.close()

    def stale(self, f0: np.ndarray) -> list[int]:
        """Numbers of the slices that were not rendered with the pitch ``f0`` (N,), Hz, 0 where unvoiced."""
        return [number for number in self._windows if self._is_stale(number, f0)]

    def _is_stale(self, number: int, f0: np.ndarray) -> bool:
        known = self._sung.get(number)
        return known is None or not np.array_equal(known, song.part(f0, *self._windows[number]))

    def render(
        self, converter: SongConverter, f0: np.ndarray, report: Share = lambda share: None
    ) -> list[int]:
        """Render the slices that the pitch ``f0`` (N,), Hz, 0 where unvoiced, changes; return their numbers.

        One that takes over from such a slice within a sung note is rendered too, so that their phases
        agree. Stopping in the middle leaves the rest stale.

        Raises:
            GlowSVCError: As of :meth:`SongConverter.convert`.
        """
        f0, done, numbers = f0.copy(), list[int](), list(self._windows)
        total = max(1, sum(len(self.chunks[number]) for number in self.stale(f0)))
        target, samples = converter.target(self.speaker), 0
        with within_memory(self.path, converter.device, converter.options):
            for before, number in zip([None, *numbers], numbers, strict=False):
                if not self._is_stale(number, f0):
                    continue
                chunk = self.chunks[number]
                if before is not None:
                    for clock, state in zip(converter.clocks, self._states[before], strict=True):
                        clock.state = state
                audio = converter.render(
                    self.source,
                    chunk,
                    target,
                    self.key,
                    self._track,
                    partial(_part_done, report, samples / total, len(chunk) / total),
                    f0,
                )
                place = self._places[number]
                self._slices[place : place + len(chunk)] = audio
                self._sung[number] = song.part(f0, *self._windows[number])
                self._states[number] = [clock.state for clock in converter.clocks]
                done.append(number)
                samples += len(chunk)
                report(min(1.0, samples / total))
                if number + 1 < len(self.chunks) and self._sings_on(number + 1, f0):
                    self._sung.pop(number + 1, None)
        return done

    def _sings_on(self, number: int, f0: np.ndarray) -> bool:
        """Whether a slice takes over from the one before while something is sung."""
        chunk = self.chunks[number]
        first, last = chunk.start // self.hop_length, (chunk.start + chunk.fade_in) // self.hop_length
        return not chunk.silent and bool((f0[first : last + 1] > 0).any())

    def read(self, start: int, end: int) -> np.ndarray:
        """Samples ``start`` to ``end`` (excluded) of the result; zeros where nothing was rendered yet."""
        start, end = max(0, start), min(end, self.source.n_samples)
        begins = [chunk.start for chunk in self.chunks]
        first = max(0, bisect_right(begins, start) - 2)  # its own fade-in lies before what is asked for
        chunks = self.chunks[first : bisect_left(begins, end)]
        if not chunks:
            return np.zeros(max(0, end - start), np.float32)
        blocks = self._stitched([replace(chunks[0], fade_in=0), *chunks[1:]], first)
        audio = np.concatenate([*blocks, np.zeros(0, np.float32)])
        skip = start - chunks[0].start
        return audio[skip : skip + end - start]

    def _stitched(self, chunks: list[Chunk], first: int) -> Iterator[np.ndarray]:
        stitcher = Stitcher()
        for number, chunk in enumerate(chunks, first):
            place = self._places[number]
            yield stitcher.push(chunk, self._slices[place : place + len(chunk)])

    def write(self, path: Path, converter: SongConverter) -> None:
        """Write the result, atomically, in the format of the converter's options; raises AudioError."""
        options = converter.options
        tag = result_tag(converter.model_name, converter.target(self.speaker).name, self.key, options)
        with writing(path, self.sampling_rate, options.wav_format, tag) as file:
            for block in self._stitched(self.chunks, 0):
                file.write(block)


def _part_done(report: Share, before: float, share: float, done: float) -> None:
    report(min(1.0, before + share * done))
