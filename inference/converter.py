"""Conversion with PyTorch: speech encoder, Glow model, diffusion model and vocoder."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion.compatibility import check_encoder
from inference.conversion import Report, Segment
from inference.noise import frame_noise
from inference.oom import within_memory
from inference.options import ConvertOptions
from inference.pipeline import SongConverter
from inference.refiner import Refiner, speaker_tensor
from inference.timbre.formant import PER_SEMITONE, shift_matrix
from inference.voice_config import load_voice
from models import GlowSVC
from modules.checkpoint import build_module, model_state
from modules.common.device import autocast, half_format, resolve_device
from modules.common.errors import CheckpointError, ConfigError
from modules.common.precision import (
    DIFFUSION,
    ENCODER,
    ENHANCER,
    FLOAT32,
    GLOW,
    PREDICTOR,
    VOCODER,
    choose_formats,
    glow_size,
)
from modules.config import Config
from modules.config.shared import FeatureSection
from modules.dsp.align import align_units
from modules.dsp.audio import resample
from modules.dsp.f0 import transpose
from modules.nn.f0_decoder import UNTRAINED
from modules.nn.frozen import freeze
from vdecoder import VOCODERS, custom_checkpoint, source_voicing
from vdecoder.clock import SongClock
from vdecoder.enhancer import Enhancer
from vencoder import ENCODERS

_ENHANCING = "nsf-hifigan"  # the vocoder of the enhancer

logger = logging.getLogger(__name__)


class Converter(SongConverter):
    """A loaded voice model with all that its options ask for.

    The options may be replaced between conversions by others that name the same
    models. ``device`` None is the one that they name.

    Raises:
        ConfigError: Options and models do not fit together.
        CheckpointError: A model cannot be read, or does not fit its configuration.
        MissingWeightsError: The encoder, the vocoder or the F0 predictor has not been downloaded.
        GlowSVCError: Out of memory.
    """

    def __init__(self, options: ConvertOptions, device: torch.device | None = None) -> None:
        device = device or resolve_device(options.device)
        config, diffusion = load_voice(options)
        alone = options.only_diffusion
        self.model_path = Path(options.diffusion_model_path if alone else options.model_path)
        super().__init__(config, options, self.model_path.name, device)
        _check(config, options)
        self._native = half_format(device)
        _ = self.f0_predictor  # its weights may be missing
        formats = self.formats
        if device.type == "cpu" and not set(formats.values()) <= {"float32", self._native}:
            logger.warning("-pr %s: this CPU has no instructions for it and is slower", options.precision)
        chosen = ", ".join(f"{stage} {name}" for stage, name in formats.items())
        logger.info("precision %s on %s: %s", options.precision, device, chosen)
        with within_memory(self.model_path, device, options, loading=True):
            self.model = None if alone else self._load_glow()
            self.refiner = None
            if diffusion:
                self.refiner = Refiner(diffusion, options, config, device, self._dtype(DIFFUSION))
                self.diffusion_data = diffusion.data
            self.encoder = ENCODERS.build(config.model.speech_encoder, device, dtype=self._dtype(ENCODER))
            vocoder, data = config.model.vocoder_name, config.data
            own = diffusion.vocoder if diffusion else None
            file = custom_checkpoint(vocoder, own.ckpt, own.type) if own else None
            dtype = self._dtype(VOCODER)
            self.vocoder = VOCODERS.build(vocoder, data, device, weights=file, dtype=dtype)
            self._clock = SongClock()
            self.enhancer = None
            if options.enhances:
                nsf = self.vocoder
                if vocoder != _ENHANCING:
                    nsf = VOCODERS.build(_ENHANCING, data, device, dtype=self._dtype(ENHANCER))
                self.enhancer = Enhancer(nsf, data)
            self.clocks = (self._clock, *([self.enhancer.clock] if self.enhancer else []))

    @property
    def formats(self) -> dict[str, str]:
        """Names of torch's types that the networks of the current options compute in, by stage."""
        model, options = self.config.model, self.options
        networks = {ENCODER: model.speech_encoder, PREDICTOR: options.f0_predictor}
        if not options.only_diffusion:
            networks[GLOW] = glow_size(model.hidden_channels)
        if options.diffuses:
            networks[DIFFUSION] = DIFFUSION
        networks[VOCODER] = model.vocoder_name
        if options.enhances:
            networks[ENHANCER] = _ENHANCING
        return choose_formats(options.precision, self._native, networks)

    def _dtype(self, stage: str) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.formats.get(stage, FLOAT32))
        return dtype

    def _f0_dtype(self) -> torch.dtype:
        return self._dtype(PREDICTOR)

    def _load_glow(self) -> GlowSVC:
        state = model_state(self.model_path)
        model = build_module(lambda: GlowSVC(self.config.model), state, self.model_path)
        if self.options.auto_predict_f0 and model.f0_decoder and not model.f0_decoder.is_trained:
            logger.warning("-a: %s", UNTRAINED.format(model=self.model_path))
        freeze(model.eval().to(self.device), self._dtype(GLOW))
        return model

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Units (D, U) of ``audio`` (T,) at the encoder's rate."""
        return self.encoder.encode(torch.from_numpy(audio).to(self.device)).cpu().numpy()

    @torch.inference_mode()
    def synthesize(self, segment: Segment, report: Report) -> np.ndarray:
        """Render (N - lead) * hop_length samples; call ``report`` with the share that is done."""
        mel, f0 = self.mel(segment, report)
        mel, f0, first = mel[:, segment.lead :], f0[segment.lead :], segment.first + segment.lead
        uv = torch.from_numpy(self.source_voicing(segment.uv[segment.lead :])).to(self.device)
        start = self._clock.start(first, segment.join, self.vocoder.cycles(f0, uv))
        audio = self.vocoder.synthesize(mel, f0, uv, start)
        if self.enhancer:
            hop, key = self.config.data.hop_length, self.options.enhancer_adaptive_key
            sung = source_voicing(_ENHANCING, segment.uv[segment.lead :], self.options.mute_unvoiced)
            voiced = torch.from_numpy(sung).to(f0)
            audio = self.enhancer.enhance(
                audio, f0 * voiced, hop, adaptive_key=key, first=first, join=segment.join
            )
        return audio.cpu().numpy()

    @torch.inference_mode()
    def mel(self, segment: Segment, report: Report) -> tuple[Tensor, Tensor]:
        """Predict the mel (M, N), natural log, float32, and its F0 (N,), Hz."""
        shift = self.options.formant
        units = torch.from_numpy(segment.units).to(self.device)
        if shift:  # sung lower, and stretched upwards again
            segment = replace(segment, f0=transpose(segment.f0, -shift))
        mel, f0 = None, torch.from_numpy(segment.f0).to(self.device)
        if self.model is not None:
            mel, f0 = self._glow(self.model, segment, units)
        if self.refiner:
            if mel is not None and self.options.second_encoding:
                units = self._reencode(mel, f0, segment, self.refiner.config.data)
            elif segment.diffusion_units is not None:
                units = torch.from_numpy(segment.diffusion_units).to(self.device)
            mel = self.refiner.refine(segment, units, f0, mel, report)
        assert mel is not None
        if shift:
            stretch = torch.from_numpy(shift_matrix(self.config.data, shift)).to(self.device)
            level = PER_SEMITONE * shift * torch.from_numpy(segment.uv).to(self.device)
            return stretch @ mel.float() - level, transpose(f0, shift)
        return mel.float(), f0

    def _glow(self, model: GlowSVC, segment: Segment, units: Tensor) -> tuple[Tensor, Tensor]:
        """Predict mel (M, N) and F0 (N,) with the Glow model."""
        device, n_mels = self.device, self.config.data.n_mels
        noise = torch.from_numpy(frame_noise(segment.first, segment.n_frames, n_mels))
        follows = self.config.model.vol_embedding
        with autocast(self.device, self._dtype(GLOW)):
            mel, f0 = model.infer(
                units[None],
                torch.from_numpy(segment.f0).to(device)[None],
                torch.from_numpy(segment.uv).to(device)[None],
                speaker_tensor(segment.speaker).to(device),
                torch.from_numpy(segment.volume).to(device)[None] if follows else None,
                noise_scale=self.options.noise_scale,
                predict_f0=self.options.auto_predict_f0,
                noise=noise[None],
            )
        if not torch.isfinite(mel).all():
            raise CheckpointError(f"{self.model_path} gives NaN; use an earlier checkpoint")
        return mel[0].float(), f0[0]

    def _reencode(self, mel: Tensor, f0: Tensor, segment: Segment, data: FeatureSection) -> Tensor:
        """Vocode ``mel`` (M, N) and encode it again: units (D, N) without the source's voice.

        They are aligned as the diffusion model wants them, whose settings are ``data``.
        """
        audio = self.vocoder.synthesize(mel, f0, torch.from_numpy(self.source_voicing(segment.uv)).to(f0))
        resampled = resample(audio.cpu().numpy(), self.sampling_rate, self.encoder.sampling_rate)
        units = align_units(self.encode(resampled), segment.n_frames, data, self.encoder.clock)
        return torch.from_numpy(units).to(self.device)


def _check(config: Config, options: ConvertOptions) -> None:
    """Refuse options that the voice model does not support."""
    if options.auto_predict_f0 and not config.model.use_automatic_f0_prediction:
        reason = (
            "a diffusion model alone cannot"
            if options.only_diffusion
            else "this model was trained without automatic F0 prediction"
        )
        raise ConfigError(f"-a: {reason}; remove -a")
    check_encoder(config)
    if options.mute_unvoiced and not VOCODERS[config.model.vocoder_name].voiced_throughout:
        logger.warning("-mu has no effect on the vocoder %r, which always mutes", config.model.vocoder_name)
