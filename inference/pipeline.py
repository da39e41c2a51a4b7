"""One song in, the same song in another voice out: slice by slice, whichever program sings.

A slice is rendered with real sound around it, starts on the song's own frame
clock and takes its noise by the number of the frame. So neighbours agree where
they overlap, the result is the same every time, and no more than one slice is
in memory whatever the length of the song.

Nothing here needs PyTorch: inference/converter.py sings with it,
inference/onnx/converter.py without.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster import load_blender
from cluster.blend import Blender
from inference.encoder_context import expand_window
from inference.envelope import ENVELOPE_MARGIN, envelope_gain
from inference.key import KeyAdvice, key_advice
from inference.oom import within_memory
from inference.options import ConvertOptions
from inference.output import check_format, writing
from inference.silence_gate import GATE_MARGIN, silence_gate
from inference.source import SourceAudio
from inference.speaker_mix import SpeakerMix
from inference.stitch import Chunk, Stitcher, plan
from modules.config import Config
from modules.dsp.align import align_units
from modules.dsp.audio import resample
from modules.dsp.f0 import transpose
from modules.dsp.frame_rms import frame_rms
from modules.dsp.slicer import LONGEST, SliceRule, limit_length, slice_ranges

MIXED = "spk_mix"  # how the result of a mix is called
Progress = Callable[[float, float], None]  # seconds of the song that are done, and all
Report = Callable[[float], None]  # share of a segment that is done, 0 to 1


@dataclass(frozen=True, eq=False)
class Segment:
    """What is to be sung in one go, on the song's frame clock.

    Attributes:
        first: Number of its first frame; negative before the song begins.
        units: (D, N), what is sung.
        f0: (N,), the pitch to sing at, Hz, without gaps.
        uv: (N,), 1 where voiced.
        volume: (N,), loudness of the song, root mean square.
        speaker: Who sings: an id, or the shares (N, S) of all speakers.
    """

    first: int
    units: np.ndarray
    f0: np.ndarray
    uv: np.ndarray
    volume: np.ndarray
    speaker: int | np.ndarray

    @property
    def n_frames(self) -> int:
        """N."""
        return len(self.f0)


@dataclass(frozen=True, eq=False)
class TargetVoice:
    """Who sings a song: one speaker, perhaps with what is known of their units, or a mix.

    Attributes:
        name: As the result is called.
        speaker_id: Of the one.
        blender: Moves units towards theirs.
        mix: Of several.
    """

    name: str
    speaker_id: int = 0
    blender: Blender | None = None
    mix: SpeakerMix | None = None

    def shares(self, first: int, n_frames: int, total: int) -> int | np.ndarray:
        """Return who sings a segment, see :class:`Segment`; ``total`` is the frames of the song."""
        return self.speaker_id if self.mix is None else self.mix.shares(first, n_frames, total)


@dataclass(frozen=True, eq=False)
class ConversionResult:
    """What became of one song.

    Attributes:
        path: The file written.
        seconds: Its duration.
        real_time_factor: Seconds of work per second of song.
        f0: (N,), pitch of the *source*, Hz, 0 where unvoiced; frame i at ``i * hop_length`` samples.
        uv: (N,), 1 where voiced.
        advice: The key that would fit, if the song lies outside the range of the speaker's training
            recordings; None if it does not, or the range is unknown.
        chunks: The slices it was rendered in.
    """

    path: Path
    seconds: float
    real_time_factor: float
    f0: np.ndarray
    uv: np.ndarray
    advice: KeyAdvice | None
    chunks: tuple[Chunk, ...]


class SongConverter(ABC):
    """Takes songs apart, has the segments sung, and puts them together again.

    Args:
        config: Of the voice.
        options: How to convert; may be replaced between songs.
        model_name: Of the voice's file, for the tag in the result.

    Attributes:
        device: Where the networks run.
        encoder: Whose ``sampling_rate`` and ``context_seconds`` say what :meth:`encode` wants.
        config: Of the voice.
        options: How to convert.
    """

    device: Any
    encoder: Any

    def __init__(self, config: Config, options: ConvertOptions, model_name: str) -> None:
        self.config, self.options, self.model_name = config, options, model_name
        self._blenders: dict[tuple[str, str], Blender] = {}
        check_format(options.wav_format)

    @property
    def sampling_rate(self) -> int:
        """Of the results, Hz."""
        return self.config.data.sampling_rate

    @abstractmethod
    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Return the units (D, U) of ``audio`` (T,) at the encoder's rate."""

    @abstractmethod
    def track(self, audio: np.ndarray, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Return F0 (N,), Hz, without gaps, and uv (N,), 1 where voiced, of ``audio`` (T,)."""

    @abstractmethod
    def synthesize(self, segment: Segment, report: Report) -> np.ndarray:
        """Return N * hop_length samples; tell ``report`` on the way how much is done."""

    def convert(
        self,
        source_path: str | Path,
        destination: str | Path,
        speaker: str | int,
        key: float = 0.0,
        progress: Progress | None = None,
    ) -> ConversionResult:
        """Convert one song and write it, atomically, in the format of the options.

        Args:
            source_path: Any file that libsndfile reads.
            destination: File to write; its folder is made, and also holds the
                scratch file (10 MB a minute) while this runs.
            speaker: Name or id of the target voice; not looked at if several sing (-usm).
            key: Semitones to shift the melody by; without effect when the model
                predicts F0.
            progress: Called as the song proceeds, at least after each slice.

        Raises:
            AudioError: The song cannot be read, or the result not be written.
            ConfigError: Unknown speaker, or a rule of the voice mix is broken.
            CheckpointError: The model gives NaN; the clusters or the index cannot be used.
            GlowSVCError: The memory does not suffice; says what takes less.
        """
        started = time.perf_counter()
        options, destination = self.options, Path(destination)
        target = self._target(speaker)
        change = "auto" if options.auto_predict_f0 else f"{key:+g}"
        tag = f"Voice conversion by Glow-SVC; model {self.model_name}, speaker {target.name}, key {change}"
        destination.parent.mkdir(parents=True, exist_ok=True)
        rule = SliceRule(threshold=options.slice_db)
        with (
            within_memory(source_path, self.device, options),
            SourceAudio(source_path, self.sampling_rate, destination.parent, rule) as source,
        ):
            f0 = np.zeros(source.n_samples // self.config.data.hop_length, np.float32)
            uv = np.zeros_like(f0)
            with writing(destination, self.sampling_rate, options.wav_format, tag) as file:
                stitcher = Stitcher()
                chunks = self._plan(source, rule)
                for chunk in chunks:
                    report = self._reporter(source, chunk, progress)
                    if chunk.silent:
                        audio = np.zeros(len(chunk), np.float32)
                    else:
                        audio = self._render(source, chunk, target, key, f0, uv, report)
                    file.write(stitcher.push(chunk, audio))
                    report(1.0)
        trained = self.config.f0_range.get(target.name)
        return ConversionResult(
            path=destination,
            seconds=source.seconds,
            real_time_factor=(time.perf_counter() - started) / source.seconds,
            f0=f0,
            uv=uv,
            chunks=tuple(chunks),
            advice=None
            if trained is None or options.auto_predict_f0
            else key_advice(f0[uv > 0], trained, key),
        )

    def _target(self, speaker: str | int) -> TargetVoice:
        """Return who is to sing; what is wrong with it is told before any work."""
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
        """Return what moves the units, as the options ask for, opened once."""
        kind, path, model = self.options.blends, self.options.cluster_model_path, self.config.model
        if (kind, path) not in self._blenders:
            self._blenders[kind, path] = load_blender(
                kind, path, speakers=self.config.spk, encoder=model.speech_encoder, ssl_dim=model.ssl_dim
            )
        return self._blenders[kind, path]

    def _plan(self, source: SourceAudio, rule: SliceRule) -> list[Chunk]:
        options = self.options
        ranges = slice_ranges(source.rms, source.n_samples, self.sampling_rate, rule)
        if not 0 < options.clip <= LONGEST:
            ranges = limit_length(ranges, source.rms, self.sampling_rate, rule)
        return plan(
            ranges, self.sampling_rate, options.clip, options.linear_gradient, options.linear_gradient_retain
        )

    def _reporter(self, source: SourceAudio, chunk: Chunk, progress: Progress | None) -> Report:
        """Return what turns a share of ``chunk`` into seconds of the song."""
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
        song_f0: np.ndarray,
        song_uv: np.ndarray,
        report: Report,
    ) -> np.ndarray:
        """Return the converted samples (len(chunk),); note the slice's pitch in the song's tracks (N,)."""
        hop = self.config.data.hop_length
        strength = self.options.loudness_envelope_adjustment
        context = (
            self.options.pad_seconds if strength == 1 else max(self.options.pad_seconds, ENVELOPE_MARGIN)
        )
        pad = round(context * self.sampling_rate)
        first = (chunk.start - pad) // hop
        n_frames = -(-(chunk.end + pad) // hop) - first  # every sample lies in a whole frame
        audio = source.read(first * hop, (first + n_frames) * hop)
        f0, uv = self.track(audio, n_frames)

        mine = slice(chunk.start // hop, min(-(-chunk.end // hop), len(song_f0)))
        here = slice(mine.start - first, mine.stop - first)
        song_f0[mine], song_uv[mine] = f0[here] * uv[here], uv[here]

        segment = Segment(
            first=first,
            units=self._units(source, first, n_frames, target),
            f0=transpose(f0, key),
            uv=uv,
            volume=frame_rms(audio, hop),
            speaker=target.shares(first, n_frames, -(-source.n_samples // hop)),
        )
        sung = self.synthesize(segment, report)
        if strength < 1:
            sung = sung * envelope_gain(audio, sung, self.sampling_rate, strength)
        skip = chunk.start - first * hop
        return sung[skip : skip + len(chunk)] * self._gain(source, chunk)

    def _gain(self, source: SourceAudio, chunk: Chunk) -> np.ndarray:
        """Return the gain (len(chunk),) that keeps the song's own digital silence."""
        margin = round(GATE_MARGIN * self.sampling_rate)
        audio = source.read(chunk.start - margin, chunk.end + margin)
        return silence_gate(audio, self.sampling_rate)[margin : margin + len(chunk)]

    def _units(self, source: SourceAudio, first: int, n_frames: int, target: TargetVoice) -> np.ndarray:
        """Return the units (D, N) of N frames, heard with as much of the song as the encoder asks for."""
        data, encoder = self.config.data, self.encoder
        wanted = round(encoder.context_seconds * self.sampling_rate / data.hop_length)
        start, length = expand_window(first, n_frames, wanted, -(-source.n_samples // data.hop_length))
        audio = source.read(start * data.hop_length, (start + length) * data.hop_length)
        units = self.encode(resample(audio, self.sampling_rate, encoder.sampling_rate))
        if target.blender:
            units = target.blender.blend(units, target.name, self.options.cluster_infer_ratio)
        return align_units(units, length, data.unit_interpolate_mode, first - start, first - start + n_frames)
