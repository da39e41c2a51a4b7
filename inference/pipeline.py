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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster import default_path, load_blender
from cluster.blend import Blender
from inference.encoder_context import expand_window
from inference.envelope import ENVELOPE_MARGIN, envelope_gain
from inference.key import KeyAdvice, key_advice, name_extremes, tracking_range
from inference.oom import within_memory
from inference.options import ConvertOptions
from inference.options.effects import unused_options
from inference.output import check_format, writing
from inference.silence_gate import (
    GATE_MARGIN,
    THRESHOLD,
    find_soft_singing,
    silence_gate,
    warn_of_silence,
)
from inference.source import SourceAudio
from inference.speaker_mix import SpeakerMix
from inference.stitch import Chunk, PitchTrack, Stitcher, plan
from modules.config import Config
from modules.config.shared import FeatureSection
from modules.dsp.align import align_units
from modules.dsp.audio import resample
from modules.dsp.f0 import transpose
from modules.dsp.frame_rms import frame_rms
from modules.dsp.slicer import LONGEST, SliceRule, limit_length, slice_ranges
from modules.f0_predictor import F0_PREDICTORS
from modules.f0_predictor.base import F0Predictor
from vdecoder import source_voicing

logger = logging.getLogger(__name__)

MIXED = "spk_mix"  # target name of a speaker mix, in file names and tags
Progress = Callable[[float, float], None]  # seconds done, and in total; 0, 0 while the song is read
Report = Callable[[float], None]  # share of a segment that is done, 0 to 1


@dataclass(frozen=True, eq=False)
class Segment:
    """Model inputs for one slice and its context, on the recording's frame grid."""

    first: int  # number of its first frame; negative before the recording begins
    units: np.ndarray  # (D, N)
    f0: np.ndarray  # (N,), target pitch, Hz, without gaps
    uv: np.ndarray  # (N,), 1 where voiced
    volume: np.ndarray  # (N,), loudness of the source, root mean square
    speaker: int | np.ndarray  # target speaker: an id, or the shares (N, S) of all speakers
    join: int | None = None  # frame at which it takes over from the slice before; None: it is the first
    lead: int = 0  # frames at its beginning that only the models need: they are not vocoded
    diffusion_units: np.ndarray | None = None  # (D, N), for a diffusion model that aligns units otherwise

    @property
    def n_frames(self) -> int:
        """N."""
        return len(self.f0)


@dataclass(frozen=True, eq=False)
class TargetVoice:
    """Target of a conversion: one speaker, optionally with cluster or index, or a speaker mix."""

    name: str  # of the speaker, or MIXED
    speaker_id: int = 0
    blender: Blender | None = None  # moves units towards the speaker's own
    mix: SpeakerMix | None = None  # replaces the single speaker

    def shares(self, first: int, n_frames: int, total: int) -> int | np.ndarray:
        """:attr:`Segment.speaker` of some frames of a recording of ``total`` frames."""
        return self.speaker_id if self.mix is None else self.mix.shares(first, n_frames, total)


@dataclass(frozen=True, eq=False)
class ConversionResult:
    """One converted recording."""

    path: Path  # the file written
    seconds: float  # its duration
    real_time_factor: float  # seconds of computation per second of audio
    f0: np.ndarray  # (N,), pitch of the *source*, Hz, 0 where unvoiced; frame i at i * hop_length samples
    uv: np.ndarray  # (N,), 1 where voiced
    advice: KeyAdvice | None  # the key that would fit the speaker's trained range; None: it fits, or unknown
    chunks: tuple[Chunk, ...]  # the slices it was rendered in


class SongConverter(ABC):
    """Slices a recording, has each slice synthesized, and stitches the results.

    The options may be replaced between conversions; ``model_name``, the file name of the
    voice model, goes into the tag of the results.
    """

    encoder: Any  # speech encoder, with the sampling_rate, context_seconds and clock of its units
    diffusion_data: FeatureSection | None = None  # settings of the diffusion model, if there is one

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
        key: float = 0.0,
        progress: Progress | None = None,
        subtype: str | None = None,
    ) -> ConversionResult:
        """Convert one recording and write it, atomically, in the format of the options.

        ``subtype`` is libsndfile's sample format, None the format's default.

        The source is any file that libsndfile reads. The destination's folder is made, and also
        holds the scratch file (10 MB a minute) while this runs. ``speaker``, a name or id, is
        ignored for a speaker mix (-usm), and ``key``, semitones, when the model predicts F0.
        ``progress`` is called while the source is read and at least after each slice, and may raise to stop.

        Raises:
            AudioError: The source cannot be read, or the result not be written.
            ConfigError: Unknown speaker, or a rule of the speaker mix is broken.
            CheckpointError: The model gives NaN; the clusters or the index cannot be used.
            GlowSVCError: Out of memory; says what takes less.
        """
        started = time.perf_counter()
        options, destination = self.options, Path(destination)
        target = self.target(speaker)
        change = "auto" if options.auto_predict_f0 else f"{key:+g}"
        tag = f"Voice conversion by Glow-SVC; model {self.model_name}, speaker {target.name}, key {change}"
        destination.parent.mkdir(parents=True, exist_ok=True)
        rule = SliceRule(threshold=options.slice_db)
        with (
            within_memory(source_path, self.device, options),
            SourceAudio(
                source_path,
                self.sampling_rate,
                destination.parent,
                rule,
                lambda: progress and progress(0.0, 0.0),
            ) as source,
        ):
            track = PitchTrack(source.n_samples // self.config.data.hop_length)
            chunks = self._plan(source, rule)
            with writing(destination, self.sampling_rate, options.wav_format, tag, subtype) as file:
                stitcher = Stitcher()
                for chunk in chunks:
                    report = self._reporter(source, chunk, progress)
                    audio = np.zeros(len(chunk), np.float32)
                    if not chunk.silent:
                        audio = self._render(source, chunk, target, key, track, report)
                    file.write(stitcher.push(chunk, audio))
                    report(1.0)
        f0, uv = track.f0 * track.uv, track.uv
        if file.peak < THRESHOLD:
            unheard = all(chunk.silent for chunk in chunks)
            warn_of_silence(destination, source.rms, self.model_name, rule if unheard else None)
        trained = None
        if not options.auto_predict_f0:
            trained = self.config.f0_range.get(target.name)
            name_extremes(source_path, f0, uv, key, self.sampling_rate / self.config.data.hop_length)
        return ConversionResult(
            path=destination,
            seconds=source.seconds,
            real_time_factor=(time.perf_counter() - started) / source.seconds,
            f0=f0,
            uv=uv,
            chunks=tuple(chunks),
            advice=None if trained is None else key_advice(f0, trained, key),
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

    def _plan(self, source: SourceAudio, rule: SliceRule) -> list[Chunk]:
        options, rate = self.options, self.sampling_rate
        ranges = slice_ranges(source.rms, source.n_samples, rate, rule.for_song(source.rms))
        ranges = find_soft_singing(ranges, source, self.f0_predictor, rule)
        if not 0 < options.clip <= LONGEST:
            ranges = limit_length(ranges, source.rms, rate, rule)
        return plan(ranges, rate, options.clip, options.linear_gradient, options.linear_gradient_retain)

    def _reporter(self, source: SourceAudio, chunk: Chunk, progress: Progress | None) -> Report:
        """Turn shares of ``chunk`` into seconds of the recording."""
        begin, length = chunk.start + chunk.fade_in, len(chunk) - chunk.fade_in

        def report(share: float) -> None:
            if progress:
                progress((begin + share * length) / self.sampling_rate, source.seconds)

        return report

    def _render(
        self,
        source: SourceAudio,
        chunk: Chunk,
        target: TargetVoice,
        key: float,
        track: PitchTrack,
        report: Report,
    ) -> np.ndarray:
        """Convert a slice to (len(chunk),); add its source pitch to ``track``."""
        hop = self.config.data.hop_length
        strength = self.options.loudness_envelope_adjustment
        margin = max(self.options.pad_seconds, ENVELOPE_MARGIN if strength < 1 else 0.0)
        pad = round(margin * self.sampling_rate)
        first = track.begin((chunk.start - pad) // hop, self.config.model.n_sqz)
        n_frames = -(-(chunk.end + pad) // hop) - first  # every sample lies in a whole frame
        audio = source.read(first * hop, (first + n_frames) * hop)
        tracker = self.f0_predictor
        if not self.options.auto_predict_f0:
            tracker = tracker.within(*tracking_range(key, self.sampling_rate))
        f0, uv = tracker.predict(audio, n_frames)
        f0, uv = track.add(first, f0, uv, chunk.start // hop, -(-chunk.end // hop))

        units, diffusion_units = self._units(source, first, n_frames, target)
        segment = Segment(
            first=first,
            units=units,
            diffusion_units=diffusion_units,
            f0=f0 if self.options.auto_predict_f0 else transpose(f0, key),
            uv=uv,
            volume=frame_rms(audio, hop),
            speaker=target.shares(first, n_frames, -(-source.n_samples // hop)),
            join=None if first == track.first else (chunk.start + chunk.fade_in // 2) // hop,
        )
        result = self.synthesize(segment, report)
        if strength < 1:
            usual = audio / np.float32(source.softness)
            gain = envelope_gain(usual, result, self.sampling_rate, strength)
            result = result * gain * np.float32(source.softness ** (1 - strength))
        skip = chunk.start - first * hop
        return result[skip : skip + len(chunk)] * self._gate(source, chunk)

    def _gate(self, source: SourceAudio, chunk: Chunk) -> np.ndarray:
        """Gain (len(chunk),) that keeps the digital silence of the source."""
        margin = round(GATE_MARGIN * self.sampling_rate)
        audio = source.read(chunk.start - margin, chunk.end + margin)
        audio /= np.float32(source.softness)  # as if it were no softer than usual
        return silence_gate(audio, self.sampling_rate)[margin : margin + len(chunk)]

    def _units(
        self, source: SourceAudio, first: int, n_frames: int, target: TargetVoice
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Units (D, N) of N frames, encoded with as much context as the encoder asks for.

        The second are those for the diffusion model, if it wants them aligned otherwise.
        """
        data, encoder = self.config.data, self.encoder
        wanted = round(encoder.context_seconds * self.sampling_rate / data.hop_length)
        start, length = expand_window(first, n_frames, wanted, -(-source.n_samples // data.hop_length))
        audio = source.read(start * data.hop_length, (start + length) * data.hop_length)
        units = self.encode(resample(audio, self.sampling_rate, encoder.sampling_rate))
        if target.blender:
            units = target.blender.blend(units, target.name, self.options.cluster_infer_ratio)
        frames = first - start, first - start + n_frames
        aligned = align_units(units, length, data, encoder.clock, *frames)
        other = self.diffusion_data
        if other is None or other.unit_interpolate_mode == data.unit_interpolate_mode:
            return aligned, None
        return aligned, align_units(units, length, other, encoder.clock, *frames)
