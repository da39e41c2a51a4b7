"""What training the Glow model means: its losses, its validation, its pictures.

The loop knows steps, files and clocks; this knows the model. Diffusion brings a
task of its own with the same methods.
"""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import GlowOutput, GlowSVC
from modules.audio import read_audio
from modules.config import Config
from modules.f0 import F0_MAX, F0_MIN, lf0_to_hz
from training.board import Board
from training.dataset import Batch, GlowDataset, collate
from vdecoder import VOCODERS

logger = logging.getLogger(__name__)

_N_SAMPLES = 2  # validation clips that are rendered for TensorBoard
_MAX_SAMPLE_FRAMES = 860  # 10 s of each


class GlowTask:
    """Training of :class:`models.GlowSVC`.

    Args:
        config: The run's configuration.
        training_clips: Wavs to learn from.
        validation_clips: Wavs to measure on.
        device: Where the model lives.

    Raises:
        ConfigError: A clip's speaker, or the vocoder, is unknown.
    """

    checkpoints = ("G", ".pth")
    speaker_tables: tuple[str, ...] = ("emb_g.weight", "spk_emb.weight")
    collate = staticmethod(collate)

    def __init__(
        self, config: Config, training_clips: list[Path], validation_clips: list[Path], device: torch.device
    ) -> None:
        self.config, self.device = config, device
        torch.manual_seed(config.train.seed)
        self.model = GlowSVC(config.model).to(device)
        self.training_set = GlowDataset(training_clips, config, augment=True)
        self.validation_set = GlowDataset(validation_clips, config, augment=False)
        self._recorded: set[int] = set()  # validation clips whose recording this process has shown
        weights = VOCODERS[config.model.vocoder_name].weights
        self._has_vocoder = weights is None or Path("pretrain", weights).exists()
        if not self._has_vocoder:
            logger.warning("pretrain/%s is missing: TensorBoard gets no generated audio", weights)

    @property
    def d_model(self) -> int:
        """Width that the noam schedule scales with."""
        return self.config.model.hidden_channels

    def initialise(self, batch: Batch) -> None:
        """Set what depends on data, before the first step of a fresh run."""
        self.model.initialise(**batch.model_inputs())

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss to minimise and its parts, each a scalar tensor."""
        output = self.model(**batch.model_inputs(), f0_factor=batch.f0_factor)
        parts = GlowSVC.losses(output)
        total = parts["mle"]
        if "lf0" in parts:
            total = total + self.config.train.c_lf0 * parts["lf0"]
        return total, parts

    @torch.no_grad()
    def validate(self, model: GlowSVC, board: Board, step: int) -> dict[str, float]:
        """Measure ``model`` on the validation clips and render some of them.

        Args:
            model: The model, or its running mean; in eval mode.
            board: Where scalars, pictures and sounds go.
            step: Optimizer steps done.

        Returns:
            mle and lf0 loss, and the mean absolute difference of the mel that is
            inferred without noise ("mel_l1", natural log).
        """
        sums: dict[str, float] = {}
        frames = 0
        for index in range(len(self.validation_set)):
            batch = self.validation_set[index].to(self.device)
            n = int(batch.lengths[0])
            output = model(**batch.model_inputs())
            parts = GlowSVC.losses(output)
            mel, _ = model.infer(
                batch.units, batch.f0, batch.uv, batch.speaker_id, batch.volume, noise_scale=0.0
            )
            parts["mel_l1"] = (mel - batch.mel).abs().mean()
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value) * n
            frames += n
            if index < _N_SAMPLES:
                self._render(index, batch, output, mel, board, step)
        return {name: value / frames for name, value in sums.items()}

    def _render(
        self, index: int, batch: Batch, output: GlowOutput, mel: Tensor, board: Board, step: int
    ) -> None:
        true, made = (m[0, :, :_MAX_SAMPLE_FRAMES].float().cpu() for m in (batch.mel, mel))
        f0, uv = (x[0, :_MAX_SAMPLE_FRAMES].cpu() for x in (batch.f0, batch.uv))
        board.mels(f"mel/{index}", {"recorded": true, "generated": made}, step)
        tracks = {"input": f0 * uv}
        if output.pred_lf0 is not None:
            predicted = lf0_to_hz(output.pred_lf0[0, 0, :_MAX_SAMPLE_FRAMES].float().cpu())
            tracks["predicted"] = predicted.clamp(F0_MIN, F0_MAX) * uv
        board.f0(f"f0/{index}", tracks, step)
        rate = self.config.data.sampling_rate
        wav = self.validation_set.clips[index]
        if index not in self._recorded and wav.exists():
            self._recorded.add(index)
            audio, _ = read_audio(wav, rate)
            audio = audio[: true.shape[-1] * self.config.data.hop_length]
            board.audio(f"audio/{index}/recorded", torch.from_numpy(audio), rate, step)
        if self._has_vocoder:
            board.audio(f"audio/{index}/generated", self._vocoder.synthesize(made, f0, uv), rate, step)

    @cached_property
    def _vocoder(self) -> Any:
        return VOCODERS.build(self.config.model.vocoder_name, self.config.data, torch.device("cpu"))
