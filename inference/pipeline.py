"""The conversion of one recording, slice by slice, with PyTorch or without.

A slice is rendered with real audio around it, starts on the recording's own
frame grid, and its noise depends on frame numbers. So neighbours agree where they
overlap, the result is reproducible, and memory holds one slice, whatever the
length of the recording.

Nothing here needs PyTorch: inference/converter.py synthesizes with it,
inference/onnx/converter.py without.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from cluster import default_path, load_blender
from cluster.blend import Blender
from inference.conversion import (
    MIXED,
    ConversionResult,
    PitchFiles,
    Progress,
    Report,
    Segment,
    TargetVoice,
)
from inference.encoder_context import slice_units
from inference.key import choose_key, key_advice, name_extremes, tracking_range
from inference.oom import within_memory
from inference.options import ConvertOptions
from inference.options.checks import AUTO_KEY, Key
from inference.options.effects import unused_options
from inference.output import check_format, result_tag, writing
from inference.pitch import song
from inference.silence_gate import (
    THRESHOLD,
    find_soft_singing,
    song_gate,
    warn_of_silence,
)
from inference.source import SourceAudio
from inference.speaker_mix import SpeakerMix
from inference.stitch import Chunk, PitchTrack, Stitcher, plan
from inference.timbre.envelope import ENVELOPE_MARGIN, envelope_gain
from inference.timbre.protection import drop_unpitched, keep_unvoiced
from modules.config import Config
from modules.config.shared import FeatureSection
from modules.dsp.f0 import fill_unvoiced, transpose
from modules.dsp.frame_rms import frame_rms
from modules.dsp.slicer import LONGEST, SliceRule, limit_length, preview_ranges, slice_ranges
from modules.f0_predictor import F0_PREDICTORS, warn_of_fallback
from modules.f0_predictor.base import F0Predictor
from vdecoder import source_voicing
from vdecoder.clock import SongClock

logger = logging.getLogger(__name__)


class SongConverter(ABC):
    """Slices a recording, has each slice synthesized, and stitches the results.

    The options may be replaced between conversions; ``model_name``, the file name of the
    voice model, goes into the tag of the results.
    """

    encoder: Any  # speech encoder, with the sampling_rate, context_seconds and clock of its units
    diffusion_data: FeatureSection | None = None  # settings of the diffusion model, if there is one
    clocks: tuple[SongClock, ...] = ()  # of the vocoders; all that one slice hands on to the next

    def __init__(self, config: Config, options: ConvertOptions, model_name: str, device: Any) -> None:
        self.config, self.options, self.model_name, self.device = config, options, model_name, device
        self._blenders: dict[tuple[str, str], Blender] = {}
        self._predictors: dict[tuple[str, float], F0Predictor] = {}
        check_format(options.wav_format)
        for line in unused_options(options).values():
            logger.warning("%s", line)

    @property
    def sampling_rate(self) -> int:
        """Of the results, Hz."""
        return self.config.data.sampling_rate

    @property
    def frame_rate(self) -> float:
        """Of F0, frames per second."""
        return self.sampling_rate / self.config.data.hop_length

    @property
    def f0_predictor(self) -> F0Predictor:
        """The F0 predictor that the options ask for, built once."""
        key = (self.options.f0_predictor, self.options.f0_filter_threshold)
        if key not in self._predictors:
            rates = {"sampling_rate": self.sampling_rate, "hop_length": self.config.data.hop_length}
            where = {"device": self.device, "dtype": self._f0_dtype()}
            self._predictors[key] = F0_PREDICTORS.build(key[0], **rates, threshold=key[1], **where)
        return self._predictors[key]

    @property
    def formats(self) -> dict[str, str]:
        """Number formats of the networks by stage, as far as they are chosen here; see -pr."""
        return {}

    def _f0_dtype(self) -> Any:
        """Type of PyTorch for the F0 predictor; None for float32."""
        return None

    def source_voicing(self, uv: np.ndarray) -> np.ndarray:
        """Voicing (N,) for the vocoder, of that of the song (N,); see -mu."""
        return source_voicing(self.config.model.vocoder_name, uv, self.options.mute_unvoiced)

    @abstractmethod
    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Units (D, U) of ``audio`` (T,) at the encoder's rate."""

    @abstractmethod
    def synthesize(self, segment: Segment, report: Report) -> np.ndarray:
        """Render (N - lead) * hop_length samples; call ``report`` with the share that is done."""

    def convert(
        self,
        source_path: str | Path,
        destination: str | Path,
        speaker: str | int,
        key: Key = 0.0,
        progress: Progress | None = None,
        subtype: str | None = None,
        pitch: PitchFiles | None = None,
        curve: np.ndarray | None = None,
    ) -> ConversionResult:
        """Convert one recording and write it, atomically, in the format of the options.

        The source is any file that libsndfile reads. The destination's folder is made, and also
        holds the scratch file (10 MB a minute) while this runs. ``speaker``, a name or id, is
        ignored for a speaker mix (-usm), and ``key``, semitones or "auto", when the model predicts F0.
        ``progress`` is called while the source is read and at least after each slice, and may raise to
        stop. ``curve`` (N,), Hz, replaces the F0 predictor: 0 where unvoiced, NaN where it has no say;
        ``subtype`` is libsndfile's sample format, None the format's default.

        Raises:
            AudioError: The source cannot be read, or the result not be written.
            ConfigError: Unknown speaker, a rule of the speaker mix is broken, no range is known for a key
                of "auto", or a pitch file is wrong.
            CheckpointError: The model gives NaN; the clusters or the index cannot be used.
            GlowSVCError: Out of memory; says what takes less.
        """
        started = time.perf_counter()
        options, destination, hop = self.options, Path(destination), self.config.data.hop_length
        target, pitch = self.target(speaker), pitch or PitchFiles()
        warn_of_fallback(options.f0_predictor)
        trained = None if options.auto_predict_f0 else self.config.f0_range.get(target.name)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with (
            within_memory(source_path, self.device, options),
            self.open_song(source_path, destination.parent, progress) as source,
        ):
            chunks = self.plan(source)
            track = PitchTrack(source.n_samples // hop)
            sung, choice = None, None
            if curve is not None or song.needs_curve(options, key, pitch):
                curve = song.given_curve(curve, pitch, len(track.f0), self.frame_rate)
                found = self.track_pitch(source, chunks, curve, 0.0 if key == AUTO_KEY else float(key))
                track.f0, track.uv = fill_unvoiced(found)
                sung = song.edit(found, self.frame_rate, pitch, options)
                if key == AUTO_KEY and not options.auto_predict_f0:
                    choice = choose_key(sung, trained, target.name)
            key = choice.semitones if choice else 0.0 if key == AUTO_KEY else float(key)
            tag = result_tag(self.model_name, target.name, key, options)
            with writing(destination, self.sampling_rate, options.wav_format, tag, subtype) as file:
                stitcher = Stitcher()
                for chunk in chunks:
                    report = self._reporter(chunks, chunk, progress)
                    audio = np.zeros(len(chunk), np.float32)
                    if not chunk.silent:
                        audio = self.render(source, chunk, target, key, track, report, sung)
                    file.write(stitcher.push(chunk, audio))
                    report(1.0)
        span = slice(chunks[0].start // hop, -(-chunks[-1].end // hop))
        f0, uv = (track.f0 * track.uv)[span], track.uv[span]
        if file.peak < THRESHOLD:
            rule = SliceRule(threshold=options.slice_db) if all(chunk.silent for chunk in chunks) else None
            warn_of_silence(destination, source.rms, self.model_name, rule)
        if not options.auto_predict_f0:
            name_extremes(source_path, f0, uv, key, self.frame_rate)
        sung = track.f0 * track.uv if sung is None else sung
        song.write(pitch, sung, self.frame_rate, span)
        seconds = (chunks[-1].end - chunks[0].start) / self.sampling_rate
        return ConversionResult(
            path=destination,
            seconds=seconds,
            real_time_factor=(time.perf_counter() - started) / seconds,
            key=key,
            choice=choice,
            f0=f0,
            uv=uv,
            sung=sung[span],
            start=chunks[0].start / self.sampling_rate,
            chunks=tuple(chunks),
            advice=None if trained is None or choice else key_advice(f0, trained, key),
        )

    def target(self, speaker: str | int) -> TargetVoice:
        """Resolve the target, so that its errors are raised before any work.

        Raises:
            ConfigError: Unknown speaker, or a rule of the speaker mix is broken.
            CheckpointError: The clusters or the index cannot be used.
        """
        config, options = self.config, self.options
        if options.use_spk_mix:
            mix = SpeakerMix.from_file(options.spk_mix_file, config.spk, config.model.n_speakers)
            return TargetVoice(MIXED, mix=mix)
        name, number = config.speaker_name(speaker), config.speaker_id(speaker)
        blender = self._blender() if options.blends else None
        if blender:
            blender.prepare(name)
        return TargetVoice(name, number, blender)

    def _blender(self) -> Blender:
        """The cluster model or index that the options ask for, opened once."""
        options, model = self.options, self.config.model
        kind = options.blends
        path = options.cluster_model_path or str(default_path(kind, options.voice_path))
        if (kind, path) not in self._blenders:
            self._blenders[kind, path] = load_blender(
                kind, path, speakers=self.config.spk, encoder=model.speech_encoder, ssl_dim=model.ssl_dim
            )
        return self._blenders[kind, path]

    def open_song(
        self, path: str | Path, scratch: str | Path, progress: Progress | None = None
    ) -> SourceAudio:
        """Open a recording at the model's rate, sliced by the options' -sd; raises AudioError.

        A context manager; ``scratch`` is the folder of its temporary file.
        """
        rule = SliceRule(threshold=self.options.slice_db)
        return SourceAudio(path, self.sampling_rate, scratch, rule, lambda: progress and progress(0.0, 0.0))

    def plan(self, source: SourceAudio) -> list[Chunk]:
        """The slices in which a song is rendered; with --preview, those of its most telling part."""
        options, rate = self.options, self.sampling_rate
        rule = SliceRule(threshold=options.slice_db)
        ranges = slice_ranges(source.rms, source.n_samples, rate, rule.for_song(source.rms))
        ranges = find_soft_singing(ranges, source, self.f0_predictor, rule)
        if options.preview:
            ranges = preview_ranges(
                ranges, source.rms, rate, rule, options.preview, self.config.data.hop_length
            )
        if not 0 < options.clip <= LONGEST:
            ranges = limit_length(ranges, source.rms, rate, rule)
        return plan(ranges, rate, options.clip, options.linear_gradient, options.linear_gradient_retain)

    def _reporter(self, chunks: list[Chunk], chunk: Chunk, progress: Progress | None) -> Report:
        """Turn shares of ``chunk`` into seconds of the result."""
        begin, length = chunk.start + chunk.fade_in - chunks[0].start, len(chunk) - chunk.fade_in
        total = chunks[-1].end - chunks[0].start

        def report(share: float) -> None:
            if progress:
                progress((begin + share * length) / self.sampling_rate, total / self.sampling_rate)

        return report

    def track_pitch(
        self, source: SourceAudio, chunks: list[Chunk], given: np.ndarray, key: float = 0.0
    ) -> np.ndarray:
        """Pitch (N,) of a song, Hz, 0 where unvoiced: ``given`` (N,) and, where that is NaN, tracked.

        ``key`` is the change, in semitones, that widens the range to track.
        """
        track = PitchTrack(len(given))
        hop = self.config.data.hop_length
        for chunk in chunks:
            if not chunk.silent and np.isnan(given[chunk.start // hop : -(-chunk.end // hop)]).any():
                self._track(source, chunk, key, track)
        return np.where(np.isnan(given), track.f0 * track.uv, given).astype(np.float32)

    def window(self, chunk: Chunk, track: PitchTrack) -> tuple[int, int]:
        """First frame and number of frames of a slice with its margins: its pitch there is what it sings."""
        options, hop = self.options, self.config.data.hop_length
        margin = ENVELOPE_MARGIN if options.loudness_envelope_adjustment < 1 else 0.0
        pad = round(max(options.pad_seconds, margin) * self.sampling_rate)
        first = track.begin((chunk.start - pad) // hop, self.config.model.n_sqz)
        return first, -(-(chunk.end + pad) // hop) - first  # every sample lies in a whole frame

    def _track(
        self, source: SourceAudio, chunk: Chunk, key: float, track: PitchTrack, sung: np.ndarray | None = None
    ) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """First frame of a padded slice, its audio, F0 and uv (N,): those of ``sung``, or tracked."""
        options, hop = self.options, self.config.data.hop_length
        first, n_frames = self.window(chunk, track)
        audio = source.read(first * hop, (first + n_frames) * hop)
        if sung is not None:
            return first, audio, *fill_unvoiced(song.part(sung, first, n_frames))
        tracker = self.f0_predictor
        if not options.auto_predict_f0:
            tracker = tracker.within(*tracking_range(key, self.sampling_rate))
        f0, uv = tracker.predict(audio, n_frames)
        return first, audio, *track.add(first, f0, uv, chunk.start // hop, -(-chunk.end // hop))

    def render(
        self,
        source: SourceAudio,
        chunk: Chunk,
        target: TargetVoice,
        key: float,
        track: PitchTrack,
        report: Report = lambda share: None,
        sung: np.ndarray | None = None,
    ) -> np.ndarray:
        """Convert a slice to (len(chunk),), with the pitch ``sung`` (N,) of the song, Hz, 0 where unvoiced.

        Without it, the slice's own pitch is tracked, and added to ``track``. A new ``track`` renders a
        slice alone.
        """
        options, hop = self.options, self.config.data.hop_length
        first, audio, f0, uv = self._track(source, chunk, key, track, sung)
        n_frames = len(f0)
        if options.protect:
            f0, uv = drop_unpitched(f0, uv, self.frame_rate)
        units, diffusion_units = slice_units(self, source, first, n_frames, target)
        segment = Segment(
            first=first,
            units=units,
            diffusion_units=diffusion_units,
            f0=f0 if options.auto_predict_f0 else transpose(f0, key),
            uv=uv,
            volume=frame_rms(audio, hop),
            speaker=target.shares(first, n_frames, -(-source.n_samples // hop)),
            join=None if first == track.first else (chunk.start + chunk.fade_in // 2) // hop,
        )
        result = self.synthesize(segment, report)
        if options.protect:
            result = keep_unvoiced(result, audio, uv, hop, self.sampling_rate, options.protect)
        strength = options.loudness_envelope_adjustment
        if strength < 1:
            usual = audio / np.float32(source.softness)
            gain = envelope_gain(usual, result, self.sampling_rate, strength)
            result = result * gain * np.float32(source.softness ** (1 - strength))
        skip = chunk.start - first * hop
        return result[skip : skip + len(chunk)] * song_gate(source, chunk.start, chunk.end)
