"""The training task of the Glow model: its losses and its validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import GlowOutput, GlowSVC
from modules.config import Config, TrainConfig, load_config
from modules.dsp.f0 import F0_MAX, F0_MIN, lf0_to_hz
from modules.dsp.mcd import mel_cepstral_distortion
from modules.nn.masks import round_up
from training.data.dataset import GlowBatch, GlowDataset
from training.tasks.base import Task
from training.tasks.preview import AudioScorer, ValidationPreview, mean_scores
from training.tensorboard import TensorBoardLogger

_N_SAMPLES = 2  # validation clips that are rendered for TensorBoard
_MAX_SAMPLE_FRAMES = 860  # 10 s of each


class GlowTask(Task):
    """Training of :class:`models.GlowSVC`; ``scorer`` is for every ``train.score_every``-th validation.

    Raises:
        ConfigError: A clip's speaker, or the vocoder, is unknown.
    """

    checkpoints = ("G", ".pth")
    config_name = "config.json"
    advice: Mapping[str, str] = {
        "memory": "Halve train.batch_size (and double train.accumulate_steps for the same training), then "
        "train.max_speclen",
        "nan": "Lower train.learning_rate, or set train.fp16_run to false",
        "speakers": "Train them with -m <another name>; --base {checkpoint} starts from this model",
    }
    speaker_tables: tuple[str, ...] = ("emb_g.weight", "spk_emb.weight")
    optional_parts = frozenset(("emb_vol", "f0_decoder"))
    config: Config
    read_config = staticmethod(load_config)
    network: type[GlowSVC] = GlowSVC
    data_set: type[GlowDataset] = GlowDataset
    model: GlowSVC
    preview: ValidationPreview

    def __init__(
        self,
        config: Config,
        training_clips: list[Path],
        validation_clips: list[Path],
        device: torch.device,
        scorer: AudioScorer | None = None,
    ) -> None:
        self.config, self.device, self.scorer = config, device, scorer
        torch.manual_seed(config.train.seed)
        self.model = self.network(config.model).to(device)
        training, validation = set(training_clips), set(validation_clips)
        self.training_set = self.data_set(training_clips, config, augment=True, others=validation)
        self.validation_set = self.data_set(validation_clips, config, augment=False, others=training)
        self.preview = ValidationPreview(config.model.vocoder_name, config.data, device)
        self.coefficients = {"mle": 1.0, "lf0": config.train.c_lf0}
        self.d_model = config.model.hidden_channels

    def initialise(self, batch: GlowBatch) -> None:
        """Set what depends on data, before the first step of a fresh run."""
        self.model.initialise(**batch.model_inputs())

    def fine_tune(self, config: TrainConfig) -> TrainConfig:
        """See :meth:`training.tasks.base.Task.fine_tune`."""
        self.config = self.training_set.config = self.config.fine_tuned()
        return self.config.train

    def entries(self, step: int, epoch: int) -> dict[str, Any]:
        """Entries of a published ``G_*.pth`` beside the model."""
        return {"iteration": epoch, "optimizer": None, "learning_rate": self.config.train.learning_rate}

    def weights(self, batch: GlowBatch) -> dict[str, Tensor]:
        """Number of frames that each loss is a mean over."""
        weights = {"mle": round_up(batch.lengths, self.config.model.n_sqz).sum().float()}
        if self.model.f0_decoder is not None:
            weights["lf0"] = (batch.f0 > 0).sum().float()
        return weights

    def losses(self, network: Callable[..., GlowOutput], batch: GlowBatch) -> dict[str, Tensor]:
        """``mle`` and, with an F0 decoder, ``lf0``, each a mean over its frames."""
        return GlowSVC.losses(network(**batch.model_inputs(), f0_factor=batch.f0_factor))

    @torch.no_grad()
    def validate(self, model: GlowSVC, tensorboard: TensorBoardLogger, step: int) -> dict[str, float]:
        """See :meth:`training.tasks.base.Task.validate`.

        Returns:
            Over all clips: mle and lf0 loss, their total "val_loss", and of the mel
            inferred without noise the mean absolute difference "mel_l1" (natural
            log) and the mel-cepstral distortion "mcd" (dB). Over the sound of the
            rendered ones what :meth:`training.tasks.preview.ValidationPreview.render` returns.
        """
        sums: dict[str, float] = {}
        rendered: list[dict[str, float]] = []
        frames = 0
        for index in range(len(self.validation_set)):
            batch = self.validation_set[0, index].to(self.device)
            n = int(batch.lengths[0])
            output = model(**batch.model_inputs())
            parts = GlowSVC.losses(output)
            total = sum(self.coefficients[name] * part for name, part in parts.items())
            mel, _ = model.infer(
                batch.units, batch.f0, batch.uv, batch.speaker_id, batch.volume, noise_scale=0.0
            )
            parts |= {"val_loss": torch.as_tensor(total), "mel_l1": (mel - batch.mel).abs().mean()}
            parts["mcd"] = torch.as_tensor(mel_cepstral_distortion(batch.mel[0], mel[0]))
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value) * n
            frames += n
            if index < _N_SAMPLES:
                rendered.append(self._render(index, batch, output, mel, tensorboard, step))
        return {name: value / frames for name, value in sums.items()} | mean_scores(rendered)

    def _render(
        self,
        index: int,
        batch: GlowBatch,
        output: GlowOutput,
        mel: Tensor,
        tensorboard: TensorBoardLogger,
        step: int,
    ) -> dict[str, float]:
        mels = {
            name: values[0, :, :_MAX_SAMPLE_FRAMES].float().cpu()
            for name, values in (("recorded", batch.mel), ("generated", mel))
        }
        f0, uv = (x[0, :_MAX_SAMPLE_FRAMES].cpu() for x in (batch.f0, batch.uv))
        tracks = {"input": f0 * uv}
        if output.pred_lf0 is not None:
            predicted = lf0_to_hz(output.pred_lf0[0, 0, :_MAX_SAMPLE_FRAMES].float().cpu())
            tracks["predicted"] = predicted.clamp(F0_MIN, F0_MAX) * uv
        tensorboard.f0(f"f0/{index}", tracks, step)
        train = self.config.train
        scored = train.score_every > 0 and step // train.eval_interval % train.score_every == 0
        wav, scorer = self.validation_set.clips[index], self.scorer if scored else None
        return self.preview.render(index, wav, mels, f0, uv, step, tensorboard, scorer)
