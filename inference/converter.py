"""A loaded voice that sings with PyTorch: encoder, pitch tracker, Glow model, diffusion, vocoder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.compatibility import check_encoder
from inference.noise import frame_noise
from inference.oom import within_memory
from inference.options import PRECISIONS, ConvertOptions
from inference.pipeline import Report, Segment, SongConverter
from inference.refiner import Refiner, speaker_tensor
from inference.voice_config import load_voice
from models import GlowSVC
from modules.checkpoint import load_model
from modules.common.device import cpu_has_bf16, resolve_device
from modules.common.errors import CheckpointError, ConfigError
from modules.config import Config
from modules.dsp.align import align_units
from modules.dsp.audio import resample
from modules.f0_predictor import F0_PREDICTORS
from vdecoder import VOCODERS, own_file
from vdecoder.enhancer import Enhancer
from vencoder import ENCODERS

_ENHANCING = "nsf-hifigan"  # the vocoder that enhances

logger = logging.getLogger(__name__)


class Converter(SongConverter):
    """A loaded voice with all that its options ask for.

    Args:
        options: What to load and how to convert; may be replaced between songs
            by others that name the same models.
        device: Where the networks run; None is what the options name.

    Raises:
        ConfigError: Options and models do not fit together.
        CheckpointError: A model cannot be read, or does not fit its configuration.
        MissingWeightsError: The encoder, the vocoder or the pitch tracker has not been downloaded.
        GlowSVCError: The memory does not suffice.
    """

    def __init__(self, options: ConvertOptions, device: torch.device | None = None) -> None:
        self.device = device or resolve_device(options.device)
        config, diffusion = load_voice(options)
        alone = options.only_diffusion
        self.model_path = Path(options.diffusion_model_path if alone else options.model_path)
        super().__init__(config, options, self.model_path.name)
        _check(config, options)
        self._predictors: dict[tuple[str, float], Any] = {}
        self._predictor()
        self.dtype: torch.dtype = getattr(torch, PRECISIONS[options.precision])
        if self.device.type == "cpu" and self.dtype != torch.float32 and not self._cpu_is_good_at_it():
            logger.warning("-pr %s: this CPU has no instructions for it and is slower so", options.precision)
        with within_memory(self.model_path, self.device, options, loading=True):
            self.model = None if alone else self._load_glow()
            self.refiner = Refiner(diffusion, options, config, self.device) if diffusion else None
            name = config.model.speech_encoder
            self.encoder = ENCODERS.build(name, self.device, dtype=self.dtype)
            vocoder = config.model.vocoder_name
            file = own_file(vocoder, diffusion.vocoder.ckpt) if alone and diffusion else None
            self.vocoder = VOCODERS.build(vocoder, config.data, self.device, weights=file, dtype=self.dtype)
            self.enhancer = self._build_enhancer() if options.enhances else None

    def _cpu_is_good_at_it(self) -> bool:
        return self.dtype == torch.bfloat16 and cpu_has_bf16()

    def _load_glow(self) -> GlowSVC:
        model = GlowSVC(self.config.model)
        load_model(model, self.model_path)
        return model.eval().to(self.device)

    def _build_enhancer(self) -> Enhancer:
        data = self.config.data
        if self.config.model.vocoder_name == _ENHANCING:
            return Enhancer(self.vocoder, data)
        return Enhancer(VOCODERS.build(_ENHANCING, data, self.device, dtype=self.dtype), data)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Return the units (D, U) of ``audio`` (T,) at the encoder's rate."""
        return self.encoder.encode(torch.from_numpy(audio).to(self.device)).cpu().numpy()

    def track(self, audio: np.ndarray, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Return F0 (N,), Hz, without gaps, and uv (N,), 1 where voiced, of ``audio`` (T,)."""
        return self._predictor().predict(audio, n_frames)

    @torch.inference_mode()
    def synthesize(self, segment: Segment, report: Report) -> np.ndarray:
        """Return N * hop_length samples; tell ``report`` on the way how much is done."""
        mel, f0 = self.mel(segment, report)
        voicing = torch.from_numpy(segment.uv).to(self.device)
        audio = self.vocoder.synthesize(mel, f0, voicing)
        if self.enhancer:
            hop, key = self.config.data.hop_length, self.options.enhancer_adaptive_key
            audio = self.enhancer.enhance(audio, f0 * voicing, hop, adaptive_key=key)
        return audio.cpu().numpy()

    @torch.inference_mode()
    def mel(self, segment: Segment, report: Report) -> tuple[Tensor, Tensor]:
        """Return the mel (M, N), natural log, float32, and the F0 (N,) that it is sung at, Hz."""
        units = torch.from_numpy(segment.units).to(self.device)
        mel, f0 = None, torch.from_numpy(segment.f0).to(self.device)
        if self.model is not None:
            mel, f0 = self._glow(self.model, segment, units)
            if self.options.second_encoding:
                units = self._reencode(mel, f0, segment)
        if self.refiner:
            with self._precision():
                mel = self.refiner.refine(segment, units, f0, mel, report)
        assert mel is not None
        return mel.float(), f0

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _glow(self, model: GlowSVC, segment: Segment, units: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the Glow model sings: mel (M, N) and F0 (N,)."""
        device, n_mels = self.device, self.config.data.n_mels
        noise = torch.from_numpy(frame_noise(segment.first, segment.n_frames, n_mels))
        follows = self.config.model.vol_embedding
        with self._precision():
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

    def _reencode(self, mel: Tensor, f0: Tensor, segment: Segment) -> Tensor:
        """Return the units (D, N) of the sound of ``mel`` (M, N): the new voice's, no more the target's."""
        data = self.config.data
        audio = self.vocoder.synthesize(mel, f0, torch.from_numpy(segment.uv).to(self.device))
        heard = resample(audio.cpu().numpy(), self.sampling_rate, self.encoder.sampling_rate)
        units = align_units(self.encode(heard), segment.n_frames, data.unit_interpolate_mode)
        return torch.from_numpy(units).to(self.device)

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


def _check(config: Config, options: ConvertOptions) -> None:
    """Refuse options that the voice cannot fulfil; say which have no effect."""
    if options.auto_predict_f0 and not config.model.use_automatic_f0_prediction:
        reason = (
            "a diffusion model alone cannot"
            if options.only_diffusion
            else "this model was trained without automatic F0 prediction"
        )
        raise ConfigError(f"-a: {reason}; leave the flag away")
    check_encoder(config)
    if options.enhance and not options.enhances:
        logger.warning("-eh has no effect on what a diffusion model has refined; it is left out")
    if options.feature_retrieval and not options.cluster_infer_ratio:
        logger.warning("-fr has no effect without -cr: at 0 the units stay as they are")
    if options.linear_gradient and not options.clip:
        logger.warning("-lg has no effect without -cl: there are no forced slices to cross-fade")
    if options.enhancer_adaptive_key and not options.enhance:
        logger.warning("-eak has no effect without -eh")
    if options.cluster_infer_ratio and options.use_spk_mix:
        logger.warning("-cr has no effect on a mix of speakers (-usm)")
    if options.only_diffusion and options.shallow_diffusion:
        logger.warning("-od leaves the Glow model out: -shd has no effect")
    if options.only_diffusion and options.second_encoding:
        logger.warning("-od leaves the Glow model out: there is no sound of it that -se could encode")
