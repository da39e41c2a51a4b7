"""A whole song in, a whole song out: the stages from a mix to its cover, each kept for the next time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.cover import mix, stems
from inference.cover.cache import StageCache
from inference.cover.options import CONVERT, KEEP, NONE, CoverOptions
from inference.cover.picture import write_picture
from inference.cover.room import PLACED, place_voice
from inference.cover.shift import check_pedalboard, shift_key
from inference.cover.song import SONG, StereoFile, read_song, write_stereo
from inference.cover.stems import Report
from inference.cover.voice import F0, VOICE, CoverVoice
from inference.key import KeyAdvice, key_advice
from inference.output import check_format, result_name
from modules.common.device import resolve_device
from modules.common.progress import seconds_bar
from modules.dsp.blocks import Samples
from modules.pretrained.checksums import sha256_of
from modules.pretrained.weights import fingerprint
from separation import SEPARATORS
from separation.base import RATE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CoverResult:
    """A finished cover."""

    folder: Path
    files: dict[str, Path]  # by the names of inference/cover/mix.py, and the picture
    seconds: float  # duration of the song
    stages: dict[str, float]  # s that each stage took
    advice: KeyAdvice | None  # the key that would fit the speaker; None: it fits, or unknown


class CoverMaker:
    """Makes covers with one voice model.

    Raises:
        ConfigError: Options do not fit together.
        MissingWeightsError: A package that the options ask for is missing.
    """

    def __init__(self, voice: CoverVoice, options: CoverOptions, cache: StageCache | None = None) -> None:
        self.voice, self.options, self.cache = voice, options, cache or StageCache()
        self._device = resolve_device(voice.options.device)
        self.times: dict[str, float] = {}
        if not options.dry:
            check_pedalboard("the room of the original (--dry leaves it out)")
        if options.instrumental_key:
            check_pedalboard("--instrumental_key")

    def make(
        self, song: Path, results: Path, speaker: str, key: float = 0.0, wav_format: str = "flac"
    ) -> CoverResult:
        """Make the cover of ``song`` in a folder of ``results``; ``key`` moves the voice alone, semitones.

        Raises:
            AudioError: The song cannot be read, or has no voice; or a result cannot be written.
            ConfigError: Unknown speaker, or format.
            GlowSVCError: See :meth:`inference.pipeline.SongConverter.convert`.
        """
        self.times = {}
        check_format(wav_format)
        options, moved = self.options, key + self.options.instrumental_key
        config = self.voice.config
        speaker = config.speaker_name(speaker)
        read = self._stage(
            "read", {"song": sha256_of(song)}, [SONG], lambda folder, report: read_song(song, folder, report)
        )
        found = self._separated(read)
        split = self._stage(
            "lead",
            {"vocals": found.name},
            [stems.LEAD, stems.BACKING, stems.FACTS],
            lambda folder, report: stems.split_lead(read, found, folder, report),
        )
        pan, backing_pan = stems.read_pans(split)
        new, converted = self._placed("voice", split, stems.LEAD, pan, speaker, moved)
        whole, voices = StereoFile(read / SONG), StereoFile(found / stems.VOCALS)
        lead = mix.Panned(StereoFile(split / stems.LEAD), pan)
        backing: Samples = StereoFile(split / stems.BACKING)
        instrumental: Samples = mix.Rest(whole, lead, backing)
        if options.instrumental_key:
            instrumental = self._shifted("instrumental", split, instrumental)
        if options.backing == CONVERT:
            other = config.speaker_name(options.backing_speaker or speaker)
            backing, _ = self._placed("backing", split, stems.BACKING, backing_pan, other, moved)
        elif options.backing == KEEP and options.instrumental_key:
            backing = self._shifted("backing", split, backing)
        elif options.backing != KEEP:
            backing = mix.Silence(len(whole))
        parts: dict[str, Samples] = {
            mix.ACAPPELLA: new,
            mix.INSTRUMENTAL: instrumental,
            mix.BACKING: backing,
            mix.LEAD: lead,
            mix.VOCALS: voices,
        }
        folder = results / self._name(song, moved, speaker)
        tag = f"Cover by Glow-SVC, its voice converted; model {Path(self.voice.options.voice_path).name}, "
        tag += f"speaker {speaker}, key {moved:+g}"
        f0 = np.load(converted / F0)
        with self._timed("mix") as report:
            files = mix.write_results(parts, options, folder, wav_format, tag, report)
            write_picture(folder / mix.PICTURE, parts, f0, moved, config.data.hop_length)
        self.cache.trim()
        trained = config.f0_range.get(speaker)
        advice = None if trained is None else key_advice(f0, trained, moved)
        files[Path(mix.PICTURE).stem] = folder / mix.PICTURE
        return CoverResult(folder, files, len(whole) / RATE, dict(self.times), advice)

    def _separated(self, read: Path) -> Path:
        name = self.options.separator
        weights = None if name == NONE else SEPARATORS[name].weights
        return self._stage(
            "separate",
            {"song": read.name, "separator": name, "weights": fingerprint(weights)},
            [stems.VOCALS],
            lambda folder, report: stems.separate(read, folder, name, self._device, report),
        )

    def _placed(
        self, name: str, split: Path, stem: str, pan: Any, speaker: str, key: float
    ) -> tuple[Samples, Path]:
        """Convert a stem, and put it where the original stands; also return the folder of the conversion."""
        converted = self._stage(
            f"convert-{name}",
            {"stem": [split.name, stem], "voice": self.voice.made_by(), "speaker": speaker, "key": key},
            [VOICE, F0],
            lambda folder, report: self.voice.convert(split / stem, folder, speaker, key, report),
        )
        placed = self._stage(
            f"room-{name}",
            {"voice": converted.name, "dry": self.options.dry},
            [PLACED],
            lambda folder, report: place_voice(
                StereoFile(split / stem), pan, StereoFile(converted / VOICE), folder, self.options.dry, report
            ),
        )
        return StereoFile(placed / PLACED), converted

    def _shifted(self, name: str, split: Path, audio: Samples) -> Samples:
        key = self.options.instrumental_key
        folder = self._stage(
            f"shift-{name}",
            {"part": split.name, "key": key},
            [SONG],
            lambda folder, report: write_stereo(folder / SONG, shift_key(audio, key)),
        )
        return StereoFile(folder / SONG)

    def _name(self, song: Path, key: float, speaker: str) -> str:
        name = Path(result_name(song.stem, key, speaker, self.voice.options)).stem
        return f"{name}_cover"

    def _stage(
        self, name: str, made_by: dict[str, Any], files: Sequence[str], make: Callable[[Path, Report], object]
    ) -> Path:
        with self._timed(name) as report:
            return self.cache.stage(name, made_by, files, lambda folder: make(folder, report))

    @contextmanager
    def _timed(self, name: str) -> Iterator[Report]:
        start = time.perf_counter()
        with seconds_bar(name) as report:
            yield report
        self.times[name] = time.perf_counter() - start
