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

from inference.conversion import PitchFiles
from inference.cover import mix, stems
from inference.cover.cache import StageCache
from inference.cover.options import CONVERT, KEEP, NONE, CoverOptions
from inference.cover.picture import write_picture
from inference.cover.room import PLACED, place_voice
from inference.cover.shift import check_pedalboard, shift_key
from inference.cover.song import SONG, StereoFile, read_song, write_stereo
from inference.cover.stems import Report
from inference.cover.voice import F0, VOICE, CoverVoice
from inference.key import KeyAdvice, KeyChoice, check_range, choose_key, key_advice
from inference.options.checks import AUTO_KEY, Key
from inference.output import check_format, result_name
from inference.pitch.files import check_f0, write_f0
from modules.common.device import resolve_device
from modules.common.progress import seconds_bar
from modules.dsp.blocks import Samples
from modules.dsp.f0 import transpose
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
    choice: KeyChoice | None = None  # of the voice's key, and why, if it was to be chosen


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
        self,
        song: Path,
        results: Path,
        speaker: str,
        key: Key = 0.0,
        wav_format: str = "flac",
        pitch: PitchFiles | None = None,
    ) -> CoverResult:
        """Make the cover of ``song`` in a folder of ``results``.

        ``key`` moves the voice alone: semitones, or "auto", which is the octave that fits the speaker.
        ``pitch`` names files that the lead's F0 comes from, and goes to.

        Raises:
            AudioError: The song cannot be read, or has no voice; or a result cannot be written.
            ConfigError: Unknown speaker, or format; no range is known for a key of "auto"; a pitch file is
                wrong.
            GlowSVCError: See :meth:`inference.pipeline.SongConverter.convert`.
        """
        self.times = {}
        check_format(wav_format)
        options, pitch = self.options, pitch or PitchFiles()
        config = self.voice.config
        speaker = config.speaker_name(speaker)
        trained = config.f0_range.get(speaker)
        if pitch.f0:
            check_f0(pitch.f0)
        if key == AUTO_KEY:
            check_range(trained, speaker)
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
        tracked = self._tracked(split, pitch.f0) if pitch.f0 or key == AUTO_KEY else None
        choice = None
        if tracked and key == AUTO_KEY:
            sung = transpose(np.load(tracked / F0), options.instrumental_key)
            choice = choose_key(sung, trained, speaker, octaves=True)
        moved = (choice.semitones if choice else float(key)) + options.instrumental_key
        new, converted = self._placed("voice", split, stems.LEAD, pan, speaker, moved, tracked)
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
        if pitch.write_f0:
            write_f0(pitch.write_f0, f0, RATE / config.data.hop_length)
        self.cache.trim()
        advice = None if trained is None else key_advice(f0, trained, moved)
        files[Path(mix.PICTURE).stem] = folder / mix.PICTURE
        return CoverResult(folder, files, len(whole) / RATE, dict(self.times), advice, choice)

    def _separated(self, read: Path) -> Path:
        name = self.options.separator
        weights = None if name == NONE else SEPARATORS[name].weights
        return self._stage(
            "separate",
            {"song": read.name, "separator": name, "weights": fingerprint(weights)},
            [stems.VOCALS],
            lambda folder, report: stems.separate(read, folder, name, self._device, report),
        )

    def _tracked(self, split: Path, f0_file: Path | None) -> Path:
        """Folder of the lead's F0."""
        return self._stage(
            "pitch",
            {
                "stem": split.name,
                "voice": self.voice.made_by(),
                "file": sha256_of(f0_file) if f0_file else None,
            },
            [F0],
            lambda folder, report: self.voice.track(split / stems.LEAD, folder, f0_file),
        )

    def _placed(
        self,
        name: str,
        split: Path,
        stem: str,
        pan: Any,
        speaker: str,
        key: float,
        tracked: Path | None = None,
    ) -> tuple[Samples, Path]:
        """Convert a stem, and put it where the original stands; also return the folder of the conversion."""
        made_by = {"stem": [split.name, stem], "voice": self.voice.made_by(), "speaker": speaker, "key": key}
        f0 = np.load(tracked / F0) if tracked else None
        converted = self._stage(
            f"convert-{name}",
            made_by | ({"pitch": tracked.name} if tracked else {}),
            [VOICE, F0],
            lambda folder, report: self.voice.convert(split / stem, folder, speaker, key, report, f0),
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
