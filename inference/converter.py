"""One song in, the same song in another voice out: every part at its place, slice by slice.

A slice is rendered with real sound around it, starts on the song's own frame
clock and takes its noise by the number of the frame. So neighbours agree where
they overlap, the result is the same every time, and no more than one slice is
in memory whatever the length of the song.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference import rests
from inference.context import widened
from inference.key import range_advice
from inference.options import PRECISIONS, ConvertOptions
from inference.output import check_format, writing
from inference.slicer import LONGEST, SliceRule, limit_length, slice_ranges
from inference.source import Source
from inference.stitch import Chunk, Stitcher, plan
from models import GlowSVC
from modules.audio import resample
from modules.checkpoint import load_model
from modules.config import Config, load_config
from modules.device import resolve_device
from modules.errors import CheckpointError, ConfigError
from modules.f0 import transpose
from modules.f0_predictor import F0_PREDICTORS
from modules.units import stretch_units
from modules.volume import volume
from vdecoder import VOCODERS
from vdecoder.enhancer import Enhancer
from vencoder import ENCODERS

SEED = 1234
_ENHANCING = "nsf-hifigan"  # the vocoder that enhances
_NOISE_BLOCK = 64  # frames that share one seed

Progress = Callable[[float, float], None]  # seconds of the song that are done, and all


@dataclass(frozen=True, eq=False)
class ConversionResult:
    """What became of one song.

    Attributes:
        path: The file written.
        seconds: Its duration.
        real_time_factor: Seconds of work per second of song.
        f0: (N,), pitch of the *source*, Hz, 0 where unvoiced; frame i at ``i * hop_length`` samples.
        uv: (N,), 1 where voiced.
        advice: A sentence if the song lies outside the range the voice was trained on.
    """

    path: Path
    seconds: float
    real_time_factor: float
    f0: np.ndarray
    uv: np.ndarray
    advice: str | None


class Converter:
    """A loaded voice model with its encoder, pitch tracker and vocoder.

    Args:
        config: The configuration saved beside the model.
        model_path: Checkpoint of the Glow model.
        options: How to convert; may be replaced between songs.
        device: Where the networks run.

    Raises:
        ConfigError: Options and model do not fit together.
        CheckpointError: The model cannot be read, or does not fit its configuration.
        MissingWeightsError: The encoder, the vocoder or the pitch tracker has not been downloaded.
    """

    def __init__(
        self, config: Config, model_path: str | Path, options: ConvertOptions, device: torch.device
    ) -> None:
        self.config, self.model_path, self.options, self.device = config, Path(model_path), options, device
        check_format(options.wav_format)
        if options.auto_predict_f0 and not config.model.use_automatic_f0_prediction:
            raise ConfigError(
                "-a: this model was trained without automatic F0 prediction; leave the flag away"
            )
        name = config.model.speech_encoder
        if ENCODERS[name].ssl_dim != config.model.ssl_dim:
            raise ConfigError(
                f"the configuration wants units of {config.model.ssl_dim} channels, but encoder {name!r} "
                f"gives {ENCODERS[name].ssl_dim}. Use the config.json saved beside the checkpoint"
            )
        self._predictors: dict[tuple[str, float], Any] = {}
        self._predictor()
        self.model = GlowSVC(config.model)
        load_model(self.model, model_path)
        self.model.eval().to(device)
        self.dtype: torch.dtype = getattr(torch, PRECISIONS[options.precision])
        self.encoder = ENCODERS.build(name, device, dtype=self.dtype)
        self.vocoder = VOCODERS.build(config.model.vocoder_name, config.data, device, dtype=self.dtype)
        self.enhancer = self._build_enhancer() if options.enhance else None

    @classmethod
    def from_options(cls, options: ConvertOptions) -> Converter:
        """Load what ``options`` name, onto the device they name."""
        device = resolve_device(options.device)
        return cls(load_config(options.config_path), options.model_path, options, device)

    @property
    def sampling_rate(self) -> int:
        """Of the results, Hz."""
        return self.config.data.sampling_rate

    def _build_enhancer(self) -> Enhancer:
        data = self.config.data
        if self.config.model.vocoder_name == _ENHANCING:
            return Enhancer(self.vocoder, data)
        return Enhancer(VOCODERS.build(_ENHANCING, data, self.device, dtype=self.dtype), data)

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
            speaker: Name or id of the target voice.
            key: Semitones to shift the melody by; without effect when the model
                predicts F0.
            progress: Called after each slice.

        Raises:
            AudioError: The song cannot be read, or the result not be written.
            ConfigError: Unknown speaker.
            CheckpointError: The model gives NaN.
        """
        started = time.perf_counter()
        options, destination = self.options, Path(destination)
        speaker_id, name = self.config.speaker_id(speaker), self.config.speaker_name(speaker)
        change = "auto" if options.auto_predict_f0 else f"{key:+g}"
        tag = f"Voice conversion by Glow-SVC; model {self.model_path.name}, speaker {name}, key {change}"
        destination.parent.mkdir(parents=True, exist_ok=True)
        rule = SliceRule(threshold=options.slice_db)
        with Source(source_path, self.sampling_rate, destination.parent, rule) as source:
            f0 = np.zeros(source.n_samples // self.config.data.hop_length, np.float32)
            uv = np.zeros_like(f0)
            with writing(destination, self.sampling_rate, options.wav_format, tag) as file:
                stitcher = Stitcher()
                for chunk in self._plan(source, rule):
                    if chunk.silent:
                        audio = np.zeros(len(chunk), np.float32)
                    else:
                        audio = self._render(source, chunk, speaker_id, key, f0, uv)
                    file.write(stitcher.push(chunk, audio))
                    if progress:
                        progress(chunk.end / self.sampling_rate, source.seconds)
        trained = self.config.f0_range.get(name)
        return ConversionResult(
            path=destination,
            seconds=source.seconds,
            real_time_factor=(time.perf_counter() - started) / source.seconds,
            f0=f0,
            uv=uv,
            advice=None
            if trained is None or options.auto_predict_f0
            else range_advice(f0[uv > 0], trained, key, name),
        )

    def _plan(self, source: Source, rule: SliceRule) -> list[Chunk]:
        options = self.options
        ranges = slice_ranges(source.rms, source.n_samples, self.sampling_rate, rule)
        if not 0 < options.clip <= LONGEST:
            ranges = limit_length(ranges, source.rms, self.sampling_rate, rule)
        return plan(
            ranges, self.sampling_rate, options.clip, options.linear_gradient, options.linear_gradient_retain
        )

    @torch.inference_mode()
    def _render(
        self,
        source: Source,
        chunk: Chunk,
        speaker_id: int,
        key: float,
        song_f0: np.ndarray,
        song_uv: np.ndarray,
    ) -> np.ndarray:
        """Return the converted samples (len(chunk),); note the slice's pitch in the song's tracks (N,)."""
        hop = self.config.data.hop_length
        pad = round(self.options.pad_seconds * self.sampling_rate)
        first = (chunk.start - pad) // hop
        n_frames = -(-(chunk.end + pad) // hop) - first  # every sample lies in a whole frame
        audio = source.read(first * hop, (first + n_frames) * hop)
        f0, uv = self._predictor().predict(audio, n_frames)

        mine = slice(chunk.start // hop, min(-(-chunk.end // hop), len(song_f0)))
        here = slice(mine.start - first, mine.stop - first)
        song_f0[mine], song_uv[mine] = f0[here] * uv[here], uv[here]

        loudness = None
        if self.config.model.vol_embedding:
            loudness = torch.from_numpy(volume(audio, hop)).to(self.device)[None]
        units = self._units(source, first, n_frames)
        noise = frame_noise(first, n_frames, self.config.data.n_mels)
        voice = self._sing(units, transpose(f0, key), uv, speaker_id, loudness, noise)
        skip = chunk.start - first * hop
        return voice[skip : skip + len(chunk)] * self._gain(source, chunk)

    def _gain(self, source: Source, chunk: Chunk) -> np.ndarray:
        """Return the gain (len(chunk),) that keeps the song's own digital silence."""
        margin = round(rests.CONTEXT * self.sampling_rate)
        heard = source.read(chunk.start - margin, chunk.end + margin)
        return rests.rest_gain(heard, self.sampling_rate)[margin : margin + len(chunk)]

    def _units(self, source: Source, first: int, n_frames: int) -> torch.Tensor:
        """Return the units (D, N) of N frames, heard with as much of the song as the encoder asks for."""
        data, encoder = self.config.data, self.encoder
        wanted = round(encoder.context_seconds * self.sampling_rate / data.hop_length)
        start, length = widened(first, n_frames, wanted, -(-source.n_samples // data.hop_length))
        audio = source.read(start * data.hop_length, (start + length) * data.hop_length)
        heard = torch.from_numpy(resample(audio, self.sampling_rate, encoder.sampling_rate))
        units = stretch_units(encoder.encode(heard.to(self.device)), length, data.unit_interpolate_mode)
        return units[:, first - start : first - start + n_frames]

    def _sing(
        self,
        units: torch.Tensor,
        f0: np.ndarray,
        uv: np.ndarray,
        speaker_id: int,
        loudness: torch.Tensor | None,
        noise: torch.Tensor,
    ) -> np.ndarray:
        """Return N * hop_length samples in the voice ``speaker_id``.

        Args:
            units: (D, N), what is sung.
            f0: (N,), the pitch to sing at, Hz, without gaps.
            uv: (N,), 1 where voiced.
            speaker_id: Who sings.
            loudness: (1, N), for models that follow it.
            noise: (1, M, N), standard normal.
        """
        device = self.device
        voicing = torch.from_numpy(uv).to(device)
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            mel, pitch = self.model.infer(
                units.to(device)[None],
                torch.from_numpy(f0).to(device)[None],
                voicing[None],
                torch.tensor([speaker_id], device=device),
                loudness,
                noise_scale=self.options.noise_scale,
                predict_f0=self.options.auto_predict_f0,
                noise=noise,
            )
        if not torch.isfinite(mel).all():
            raise CheckpointError(f"{self.model_path} gives NaN; use an earlier checkpoint")
        audio = self.vocoder.synthesize(mel[0].float(), pitch[0], voicing)
        if self.enhancer:
            hop, key = self.config.data.hop_length, self.options.enhancer_adaptive_key
            audio = self.enhancer.enhance(audio, pitch[0] * voicing, hop, adaptive_key=key)
        return audio.cpu().numpy()

    def _predictor(self) -> Any:
        """Return the pitch tracker that the options ask for, built once."""
        wanted = (self.options.f0_predictor, self.options.f0_filter_threshold)
        if wanted not in self._predictors:
            self._predictors[wanted] = F0_PREDICTORS.build(
                wanted[0],
                sampling_rate=self.sampling_rate,
                hop_length=self.config.data.hop_length,
                threshold=wanted[1],
                device=self.device,
            )
        return self._predictors[wanted]


def frame_noise(first: int, n_frames: int, n_mels: int) -> torch.Tensor:
    """Return standard normal noise (1, M, N) that depends only on the frames' place in the song.

    Args:
        first: Number of the first frame; negative before the song begins.
        n_frames: N.
        n_mels: M.
    """
    blocks = range(first // _NOISE_BLOCK, (first + n_frames - 1) // _NOISE_BLOCK + 1)
    noise = torch.cat(
        [
            torch.randn(n_mels, _NOISE_BLOCK, generator=torch.Generator().manual_seed((SEED << 32) + block))
            for block in blocks
        ],
        dim=1,
    )
    skip = first - blocks.start * _NOISE_BLOCK
    return noise[None, :, skip : skip + n_frames]
