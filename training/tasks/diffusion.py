"""The training task of the diffusion model, and of rectified flow: its loss and its validation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.compatibility import as_voice_config
from diffusion.config import DiffusionConfig, DiffusionTrainConfig, load_diffusion_config
from diffusion.unit2mel import Unit2Mel
from modules.common.errors import ConfigError
from modules.config import TrainConfig
from modules.config.shared import TrainingSection
from modules.dataset import features
from modules.dataset.feature_record import Recipe, recipe
from training.data.diffusion_dataset import DiffusionBatch, DiffusionDataset
from training.tasks.base import Task
from training.tasks.preview import ValidationPreview, mean_scores
from training.tensorboard import TensorBoardLogger
from vdecoder import custom_checkpoint

logger = logging.getLogger(__name__)

_N_TIMES = 8  # at which the loss of a validation clip is taken
_N_SAMPLES = 2  # validation clips that are sampled: that takes many evaluations
_MAX_SAMPLE_FRAMES = 860  # 10 s of each


def engine_config(train: DiffusionTrainConfig, device: torch.device) -> TrainConfig:
    """The section "train" of diffusion.yaml as the training loop reads it, for a model on ``device``."""
    return TrainConfig(
        log_interval=train.interval_log,
        eval_interval=train.interval_val,
        force_save_interval=train.interval_force_save,
        epochs=train.epochs,
        learning_rate=train.lr,
        scheduler="step",
        betas=(0.9, 0.999),  # of AdamW, as published
        eps=1e-8,
        fp16_run=train.amp_dtype != "fp32",
        half_type="fp16" if train.amp_dtype == "fp32" else train.amp_dtype,
        num_workers=0 if _cached_on_gpu(train, device) else train.num_workers,  # workers cannot read a GPU
        batch_size=train.batch_size,
        save_opt=train.save_opt,
        **{field.name: getattr(train, field.name) for field in fields(TrainingSection)},
    )


def wanted_features(config: DiffusionConfig) -> Recipe:
    """The features that a clip needs, with those of their settings that diffusion.yaml has."""
    known = {"version", "encoder", "sampling_rate", "hop_length", "n_mels"}
    return {
        kind: {name: value for name, value in settings.items() if name in known}
        for kind, settings in recipe(as_voice_config(config), use_diff=True).items()
        if config.model.use_pitch_aug or not kind.startswith("aug_")
    }


def _cached_on_gpu(train: DiffusionTrainConfig, device: torch.device) -> bool:
    return train.cache_all_data and train.cache_device == "cuda" and device.type == "cuda"


class DiffusionTask(Task):
    """Training of :class:`diffusion.unit2mel.Unit2Mel`.

    Raises:
        ConfigError: A clip's speaker or the vocoder is unknown, or the model
            cannot be trained here.
        FeatureError: See :class:`training.data.diffusion_dataset.DiffusionDataset`.
    """

    checkpoints = ("model", ".pt")
    config_name = "config.yaml"
    advice: Mapping[str, str] = {
        "memory": "Halve train.batch_size (and double train.accumulate_steps for the same training), then "
        "data.duration; set train.cache_device to cpu",
        "nan": "Lower train.lr, or set train.amp_dtype to fp32",
        "speakers": "Train them in another env.expdir; {checkpoint} in it as model_0.pt is the base",
    }
    speaker_tables: tuple[str, ...] = ("spk_embed.weight",)
    optional_parts = frozenset(("aug_shift_embed",))
    config: DiffusionConfig
    read_config = staticmethod(load_diffusion_config)
    coefficients: Mapping[str, float] = {"mse": 1.0}
    model: Unit2Mel
    training_set: DiffusionDataset
    preview: ValidationPreview

    def __init__(
        self,
        config: DiffusionConfig,
        training_clips: list[Path],
        validation_clips: list[Path],
        device: torch.device,
    ) -> None:
        if config.model.use_speaker_encoder:
            raise ConfigError(
                "model.use_speaker_encoder: models with a speaker encoder cannot be trained here. "
                "Remove it; such a model can still be the base, as model_0.pt"
            )
        self.config, self.device = config, device
        torch.manual_seed(config.train.seed)
        self.model = Unit2Mel(config).to(device)
        train = config.train
        cache = device if _cached_on_gpu(train, device) else torch.device("cpu")
        if train.cache_all_data and train.cache_device != cache.type:
            logger.warning("train.cache_device cuda: the model is not on a GPU, so clips are kept on the CPU")
        self.training_set = DiffusionDataset(
            training_clips,
            config,
            augment=True,
            cache=cache if train.cache_all_data else None,
            others=set(validation_clips),
        )
        self.validation_set = DiffusionDataset(
            validation_clips, config, augment=False, others=set(training_clips)
        )
        weights = custom_checkpoint(config.vocoder.type, config.vocoder.ckpt, config.vocoder.type)
        self.preview = ValidationPreview(config.vocoder.type, as_voice_config(config).data, device, weights)

    def entries(self, step: int, epoch: int) -> dict[str, Any]:
        """Entries of a published ``model_*.pt`` beside the model."""
        return {"global_step": step}

    def weights(self, batch: DiffusionBatch) -> dict[str, Tensor]:
        """Number of frames that the loss is a mean over."""
        return {"mse": torch.full((), float(batch.f0.numel()), device=batch.f0.device)}

    def losses(self, network: Callable[..., Tensor], batch: DiffusionBatch) -> dict[str, Tensor]:
        """``mse``: of the noise, or of rectified flow's velocity, at random times."""
        return {"mse": network(*batch.model_inputs())}

    @torch.no_grad()
    def validate(self, model: Unit2Mel, tensorboard: TensorBoardLogger, step: int) -> dict[str, float]:
        """See :meth:`training.tasks.base.Task.validate`.

        Times and noise are the same at every validation, so its results are comparable.

        Returns:
            Over all clips the loss "val_loss". Over some, of which a mel is
            sampled as section "infer" says, the mean absolute difference
            "mel_l1" (natural log); with a vocoder the scores of their sound,
            see :meth:`training.tasks.preview.ValidationPreview.render`.
        """
        loss, frames = 0.0, 0
        rendered: list[dict[str, float]] = []
        n_clips = len(self.validation_set)
        # clips are sorted by speaker: even distances, so that several speakers are rendered
        chosen = {int(i) for i in np.linspace(0, n_clips - 1, min(_N_SAMPLES, n_clips))}
        for index in range(n_clips):
            batch = self.validation_set[0, index].to(self.device)
            n = batch.f0.numel()
            loss += float(self.validation_loss(model, batch, index)) * n
            frames += n
            if index in chosen:
                rendered.append(self._render(model, index, batch, tensorboard, step))
        return {"val_loss": loss / frames, **mean_scores(rendered)}

    def validation_loss(self, model: Unit2Mel, batch: DiffusionBatch, index: int) -> Tensor:
        """Loss of one clip, at times all over the range that is trained."""
        settings = self.config.model
        steps = (torch.arange(_N_TIMES) + 0.5) / _N_TIMES * settings.max_steps  # away from the mel
        t = steps.long() if settings.type == "Diffusion" else 1 - steps / settings.timesteps
        repeated = [x if x is None else x.expand(_N_TIMES, *x.shape[1:]) for x in batch.model_inputs()]
        noise = self._noise((_N_TIMES, *batch.mel.shape[1:]), index)
        return model(*repeated, t=t.to(self.device), noise=noise)

    def _noise(self, shape: tuple[int, ...], index: int) -> Tensor:
        """Noise that depends on the seed and the clip alone, not on the device."""
        seed = np.random.SeedSequence((self.config.train.seed, index)).generate_state(1)[0]
        return torch.randn(shape, generator=torch.Generator().manual_seed(int(seed))).to(self.device)

    def _render(
        self, model: Unit2Mel, index: int, batch: DiffusionBatch, tensorboard: TensorBoardLogger, step: int
    ) -> dict[str, float]:
        units, f0, volume, true = (
            x[..., :_MAX_SAMPLE_FRAMES] for x in (batch.units, batch.f0, batch.volume, batch.mel)
        )
        # a shallow model only refines: the recorded mel is the best that it can be given
        start = true if self.config.model.shallow_only else None
        noise = self._noise(tuple(true.shape), index)
        mel = model.infer(units, f0, volume, batch.speaker, mel=start, noise=noise)
        mels = {"recorded": true[0].cpu(), "generated": mel[0].float().cpu()}
        wav = self.validation_set.clips[index]
        uv = features.load_f0(wav)[1][: mel.shape[-1]]
        scores = self.preview.render(index, wav, mels, f0[0].cpu(), uv, step, tensorboard)
        return {"mel_l1": float((mels["generated"] - mels["recorded"]).abs().mean()), **scores}
