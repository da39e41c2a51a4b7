"""Validation clips in TensorBoard: the recording and what the model makes of it, with scores."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
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
from vdecoder import VOCODERS, source_voicing

# scores of generated audio (T,) at a rate in Hz, of the recording at that path
AudioScorer = Callable[[np.ndarray, int, Path], dict[str, float]]

logger = logging.getLogger(__name__)


class ValidationPreview:
    """Renders validation clips with a vocoder; without its weights there is no audio.

    ``weights`` is its file; None is the published one.

    Raises:
        ConfigError: There is no such vocoder.
    """

    def __init__(
        self, vocoder: str, data: DataConfig, device: torch.device, weights: Path | None = None
    ) -> None:
        self.name, self.data, self.device, self.weights = vocoder, data, device, weights
        self._recorded: set[int] = set()  # clips whose recording this process has written
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
            CheckpointError: Its file is damaged or of another vocoder.
        """
        if self._has_vocoder:
            _ = self._vocoder

    def render(
        self,
        index: int,
        wav: Path,
        mels: Mapping[str, Tensor],
        f0: Tensor,
        uv: Tensor,
        step: int,
        tensorboard: TensorBoardLogger,
        score: AudioScorer | None = None,
    ) -> dict[str, float]:
        """Write a clip to TensorBoard: mels, the recording (once), the sound of the generated mel.

        Args:
            index: Of the clip.
            wav: Its recording; nothing is written of one that is gone.
            mels: "recorded" and "generated", (M, N), natural log.
            f0: (N,) Hz, filled.
            uv: (N,), 1 = voiced.
            step: Optimizer steps done.
            tensorboard: Where to.
            score: Gives more scores of the sound.

        Returns:
            The mean absolute difference "audio_mel_l1" (natural log) of the
            sound's mel, its pitch's "f0_accuracy" (share of voiced frames within
            50 cents), and those of ``score``; nothing without a vocoder.
        """
        rate, hop, recorded = self.data.sampling_rate, self.data.hop_length, mels["recorded"]
        tensorboard.mels(f"mel/{index}", dict(mels), step)
        if index not in self._recorded and wav.exists():
            self._recorded.add(index)
            recording = torch.from_numpy(read_audio(wav, rate)[0][: recorded.shape[-1] * hop])
            tensorboard.audio(f"audio/{index}/recorded", recording, rate, step)
        if not self._has_vocoder:
            return {}
        audio = self._vocoder.synthesize(mels["generated"], f0, source_voicing(self.name, uv)).cpu()
        tensorboard.audio(f"audio/{index}/generated", audio, rate, step)
        tracker = F0_PREDICTORS.build("pm", sampling_rate=rate, hop_length=hop)
        pitch, voiced = tracker.predict(audio.numpy(), len(f0))
        mel = LogMel(self.data)(audio.unsqueeze(0))[0]
        return {
            "audio_mel_l1": float((mel - recorded[:, : mel.shape[-1]]).abs().mean()),
            "f0_accuracy": raw_pitch_accuracy((f0 * uv).numpy(), pitch * voiced),
            **(score(audio.numpy(), rate, wav) if score else {}),
        }

    @cached_property
    def _vocoder(self) -> Any:
        return VOCODERS.build(self.name, self.data, self.device, weights=self.weights)


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each score over the clips that have it; one that is NaN for all is left out."""
    means = {}
    for name in dict.fromkeys(name for row in scores for name in row):
        known = [row[name] for row in scores if math.isfinite(row.get(name, math.nan))]
        if known:
            means[name] = sum(known) / len(known)
    return means
