"""What every speech encoder promises, kept in one place so that each need only encode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modules.common.errors import AudioError, CheckpointError
from modules.pretrained.weights import weights_path
from vencoder import ENCODERS

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class SpeechEncoder(ABC):
    """Turns speech at 16 kHz into units, one per 320 samples.

    Attributes:
        name: As in the table ENCODERS.
        device: Where the work is done; audio comes from anywhere, units stay there.
        ssl_dim: D, channels of the units.
        sampling_rate: Of the audio, Hz.
        hop_length: Samples per unit.
        receptive_field: Samples that the first unit sees; shorter audio is padded with silence to it.
        context_seconds: How much of the song around a slice the encoder wants to hear.
    """

    name: str
    device: torch.device
    ssl_dim: int
    sampling_rate = 16000
    hop_length = 320
    receptive_field = 400
    context_seconds = 0.0

    def encode(self, audio: Tensor) -> Tensor:
        """Return the units (D, U), float32, of one recording; U is about T / 320, at least 1.

        Args:
            audio: (T,), (C, T) or (T, C), any float type: the longer of two axes
                is time, and the channels are averaged.

        Raises:
            AudioError: It is empty, has another shape, or holds NaN, infinity or integers.
        """
        return self.encode_batch([audio])[0]

    def encode_batch(self, audios: Sequence[Tensor]) -> list[Tensor]:
        """Return the units of several recordings, each as :meth:`encode` gives it (1e-4).

        Raises:
            AudioError: See :meth:`encode`.
        """
        import torch

        with torch.no_grad():  # not inference_mode: training may use the units
            return self._encode([self._wave(audio) for audio in audios])

    @abstractmethod
    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        """Return units (D, U), float32, for each wave (T,): float32, finite, on the device, long enough."""

    def _wave(self, audio: Tensor) -> Tensor:
        """Return one channel (T,), float32, on the device, long enough for one unit."""
        import torch

        if not audio.is_floating_point():
            raise AudioError(
                f"the encoder {self.name!r} needs audio as floats of full scale 1, not {audio.dtype}"
            )
        if audio.ndim not in (1, 2) or not audio.numel():
            raise AudioError(
                f"the encoder {self.name!r} needs audio (T,), (C, T) or (T, C), not {tuple(audio.shape)}"
            )
        audio = audio.to(self.device, torch.float32)
        if audio.ndim == 2:
            audio = audio.mean(int(audio.shape[0] > audio.shape[1]))
        if not torch.isfinite(audio).all():
            raise AudioError(f"the audio given to the encoder {self.name!r} holds NaN or infinity")
        return torch.nn.functional.pad(audio, (0, max(0, self.receptive_field - len(audio))))


class ArrayEncoder(SpeechEncoder):
    """An encoder that computes on arrays, and so works without PyTorch too.

    Its line in the table says so (``without_torch``).
    """

    device: torch.device | str  # type: ignore[assignment]  # which is only handed on

    @abstractmethod
    def units(self, audio: np.ndarray) -> np.ndarray:
        """Return the units (D, U), float32, of ``audio`` (T,): float32, finite, at 16 kHz, not empty."""

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        import torch

        return [torch.from_numpy(self.units(wave.cpu().numpy())).to(self.device) for wave in waves]


def weights_file(name: str, weights: str | Path | None) -> Path:
    """Return the file that the encoder ``name`` is read from: ``weights``, or the published one's place.

    Raises:
        MissingWeightsError: It has not been downloaded; says how to get it.
    """
    if weights is not None:
        return Path(weights)
    key = ENCODERS[name].weights
    assert key is not None, f"{name} needs no file"
    return weights_path(key)


def check_width(name: str, ssl_dim: int, path: str | Path) -> None:
    """Refuse a file at the published one's place that gives units of another width than the table says.

    Raises:
        CheckpointError: Names both widths.
    """
    wanted = ENCODERS[name].ssl_dim
    if ssl_dim != wanted:
        raise CheckpointError(
            f"{path} gives units of {ssl_dim} channels, but the encoder {name!r} has {wanted}; "
            f"delete it and download it again with: python -m pretrain {ENCODERS[name].weights}"
        )
