"""RMVPE (Wei et al. 2023): robust against accompaniment. Its weights are a download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.dsp.blocks import spans
from modules.f0_predictor.fixed_rate import RATE
from modules.f0_predictor.rmvpe_model import load_rmvpe
from modules.f0_predictor.salience import CHUNK, HOP, SaliencePredictor
from modules.pretrained.weights import weights_path

FIRST_CENT = 1997.3794084376191  # of bin 0, above 10 Hz
CENTS_PER_BIN = 20
FLOOR = 1e-5  # magnitude of silence
# Frames on either side that features depend on. The receptive field of the U-Net is three times
# as large; at the published size, the rest changes nothing above float32 rounding.
MARGIN = 512


class RmvpePredictor(SaliencePredictor):
    """RMVPE, published or from ``weights``, with the published weighted mean around the peak.

    Raises:
        MissingWeightsError: The published file has not been downloaded.
        CheckpointError: The file is unreadable, or is not RMVPE's.
    """

    def __init__(self, *args: Any, weights: str | Path | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.network = load_rmvpe(weights_path("rmvpe") if weights is None else weights).to(self.device)
        self.mel = PitchMel(self.network.sizes.n_mels).to(self.device)
        self.cents = FIRST_CENT + CENTS_PER_BIN * np.arange(self.network.sizes.n_bins)

    def salience(self, sound: Tensor) -> Iterator[Tensor]:
        """See :meth:`SaliencePredictor.salience`."""
        mel = self.mel(sound)
        n_frames = mel.shape[1]
        # silence up to a multiple of the U-Net's stride. The published projects mirror the
        # sound, which fails on short clips, or pad with 0, which is loud in a log-mel.
        mel = F.pad(mel, (0, -n_frames % self.network.multiple), value=float(np.log(FLOOR)))
        features = [
            self.network.features(mel[None, :, read])[0, keep]
            for read, keep in spans(mel.shape[1], CHUNK, MARGIN)
        ]
        left = n_frames
        for salience in self.network.salience(features):
            yield salience[:left]
            left -= len(salience)


class PitchMel(nn.Module):
    """RMVPE's log-mel: centred frames of 1024 samples at 16 kHz, HTK mels with Slaney norm, 30 to 8000 Hz."""

    basis: Tensor
    window: Tensor

    def __init__(self, n_mels: int = 128) -> None:
        super().__init__()
        basis = librosa.filters.mel(
            sr=RATE, n_fft=1024, n_mels=n_mels, fmin=30, fmax=8000, htk=True, norm="slaney"
        )
        self.register_buffer("basis", torch.from_numpy(basis), persistent=False)
        self.register_buffer("window", torch.hann_window(1024), persistent=False)

    def forward(self, sound: Tensor) -> Tensor:
        """Log-mel (n_mels, T // 160 + 1) of ``sound`` (T,); a clip under 64 ms is padded with silence."""
        n_frames = len(sound) // HOP + 1
        sound = F.pad(sound, (0, max(0, 1024 - len(sound))))
        sound = F.pad(sound[None], (512, 512), mode="reflect")[0]
        pieces = []
        for start in range(0, n_frames, CHUNK):
            stop = min(start + CHUNK, n_frames)
            samples = sound[start * HOP : (stop - 1) * HOP + 1024]
            spectrum = torch.stft(samples, 1024, HOP, window=self.window, center=False, return_complex=True)
            pieces.append((self.basis @ spectrum.abs()).clamp(min=FLOOR).log())
        return torch.cat(pieces, 1)
