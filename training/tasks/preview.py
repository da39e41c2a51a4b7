"""Where validation clips are heard: as they were recorded, and as the vocoder renders what a model made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modules.config import DataConfig
from modules.dsp.audio import read_audio
from modules.dsp.f0 import raw_pitch_accuracy
from modules.dsp.mel import LogMel
from modules.f0_predictor import F0_PREDICTORS
from modules.pretrained.weights import find_weights
from training.tensorboard import TensorBoardLogger
from vdecoder import VOCODERS

# scores of a sound (T,) at a rate in Hz, which should be like the recording at that path
AudioScorer = Callable[[np.ndarray, int, Path], dict[str, float]]

logger = logging.getLogger(__name__)


class ValidationPreview:
    """A vocoder that is loaded when it is needed, or by :meth:`load`; without its weights no sound.

    Args:
        vocoder: Its name.
        data: Analysis settings.
        device: Where it runs.
        weights: Its file; None is the published one.

    Raises:
        ConfigError: There is no such vocoder.
    """

    def __init__(
        self, vocoder: str, data: DataConfig, device: torch.device, weights: Path | None = None
    ) -> None:
        self.name, self.data, self.device, self.weights = vocoder, data, device, weights
        self._recorded: set[int] = set()  # clips whose recording this process has shown
        key = VOCODERS[vocoder].weights
        self._has_vocoder = weights is not None or key is None or find_weights(key) is not None
        if not self._has_vocoder:
            logger.warning(
                "the weights of the vocoder are missing, so TensorBoard gets no generated audio; "
                "get them with: python -m pretrain %s",
                vocoder,
            )

    def load(self) -> None:
        """Load the vocoder, if it is there.

        Raises:
            CheckpointError: Its file is none of this vocoder, or damaged.
        """
        if self._has_vocoder:
            _ = self._vocoder

    def show_recording(
        self, wav: Path, index: int, n_frames: int, tensorboard: TensorBoardLogger, step: int
    ) -> None:
        """Write the first ``n_frames`` of a recording to the tensorboard, once, if it is there."""
        if index in self._recorded or not wav.exists():
            return
        self._recorded.add(index)
        audio, _ = read_audio(wav, self.data.sampling_rate)
        audio = audio[: n_frames * self.data.hop_length]
        tensorboard.audio(f"audio/{index}/recorded", torch.from_numpy(audio), self.data.sampling_rate, step)

    def render(
        self,
        index: int,
        made: Tensor,
        true: Tensor,
        f0: Tensor,
        uv: Tensor,
        tensorboard: TensorBoardLogger,
        step: int,
        listen: Callable[[np.ndarray, int], dict[str, float]] | None = None,
    ) -> dict[str, float]:
        """Write the sound of a mel to the tensorboard, and return its scores; none without a vocoder.

        Args:
            index: Of the clip.
            made: (M, N), natural log.
            true: (M, N), that of the recording.
            f0: (N,) Hz, filled.
            uv: (N,), 1 = voiced.
            tensorboard: Where it goes.
            step: Optimizer steps done.
            listen: Gives more scores of the sound (T,) at a rate in Hz.

        Returns:
            The mean absolute difference "audio_mel_l1" (natural log) of the
            sound's mel, and its pitch's "f0_accuracy" (share of voiced frames
            within 50 cents).
        """
        if not self._has_vocoder:
            return {}
        rate, hop = self.data.sampling_rate, self.data.hop_length
        audio = self._vocoder.synthesize(made, f0, uv).cpu()
        tensorboard.audio(f"audio/{index}/generated", audio, rate, step)
        tracker = F0_PREDICTORS.build("pm", sampling_rate=rate, hop_length=hop)
        pitch, voiced = tracker.predict(audio.numpy(), len(f0))
        heard = LogMel(self.data)(audio.unsqueeze(0))[0]
        return {
            "audio_mel_l1": float((heard - true[:, : heard.shape[-1]]).abs().mean()),
            "f0_accuracy": raw_pitch_accuracy((f0 * uv).numpy(), pitch * voiced),
            **(listen(audio.numpy(), rate) if listen else {}),
        }

    @cached_property
    def _vocoder(self) -> Any:
        return VOCODERS.build(self.name, self.data, self.device, weights=self.weights)
