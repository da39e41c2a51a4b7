"""The interface of all speech encoders, and the checks that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.common.errors import AudioError, CheckpointError
from modules.dsp.unit_clock import UnitClock
from modules.pretrained.weights import weights_path
from vencoder import ENCODERS

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class SpeechEncoder(ABC):
    """Encodes speech at 16 kHz as units, one per 320 samples; their times are in the table ENCODERS.

    Args:
        name: As in the table ENCODERS.
        device: Where units are computed and returned.
        weights: The model file; None: the published one.
        dtype: Of the matrix products; None: float32. bfloat16 or float16 halve
            time and memory on devices with support for them; processors without
            are slower. Units are always float32.
    """

    ssl_dim: int  # D, channels of the units
    sampling_rate = UnitClock.sampling_rate  # of the audio, Hz
    hop_length = UnitClock.hop_length  # samples per unit
    receptive_field = 400  # samples that the first unit depends on; shorter audio is padded with silence
    context_seconds = 0.0  # recommended context around a slice of a song

    def __init__(
        self,
        name: str,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.name, self.device, self.weights, self.dtype = name, device, weights, dtype
        self._set_up()

    def stream(self, n_units: int) -> Any:
        """Cheaper units of a recording that goes on, see vencoder/ppg/stream.py; None: encode it again."""
        return None

    @property
    def clock(self) -> UnitClock:
        """When its units are."""
        return ENCODERS[self.name].clock

    @abstractmethod
    def _set_up(self) -> None:
        """Load the model file, if there is one, and set ``ssl_dim``."""

    def encode(self, audio: Tensor) -> Tensor:
        """Units (D, U), float32, of one recording; U is about T / 320, at least 1.

        Args:
            audio: (T,), (C, T) or (T, C), any float type: the longer of two axes
                is time, and the channels are averaged.

        Raises:
            AudioError: It is empty, has another shape, or holds NaN, infinity or integers.
        """
        return self.encode_batch([audio])[0]

    def encode_batch(self, audios: Sequence[Tensor]) -> list[Tensor]:
        """Units of several recordings, each as from :meth:`encode` (within 1e-4), with its errors."""
        import torch

        with torch.no_grad():  # not inference_mode: training may use the units
            return self._encode([self._prepare(audio) for audio in audios])

    @abstractmethod
    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        """Units (D, U), float32, of each wave (T,): float32, finite, on the device, long enough."""

    def _prepare(self, audio: Tensor) -> Tensor:
        """One channel (T,), float32, on the device, long enough for one unit."""
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

    def _weights_file(self) -> Path:
        """The model file: the given one, or the published one; raises MissingWeightsError."""
        if self.weights is not None:
            return Path(self.weights)
        key = ENCODERS[self.name].weights
        assert key is not None, f"{self.name} needs no file"
        return weights_path(key)

    def _check_ssl_dim(self, path: Path) -> None:
        """Raise CheckpointError if a file in the published one's place has another ``ssl_dim``."""
        if self.weights is not None:
            return
        spec = ENCODERS[self.name]
        if self.ssl_dim != spec.ssl_dim:
            raise CheckpointError(
                f"{path} gives units of {self.ssl_dim} channels, but the encoder {self.name!r} has "
                f"{spec.ssl_dim}; delete it and download it again with: python -m pretrain {spec.weights}"
            )


class ArrayEncoder(SpeechEncoder):
    """An encoder that computes on arrays, and so works without PyTorch too.

    Its line in the table says so (``without_torch``). ``dtype`` has no effect.
    """

    @abstractmethod
    def units(self, audio: np.ndarray) -> np.ndarray:
        """Units (D, U), float32, of ``audio`` (T,): float32, finite, at 16 kHz, not empty."""

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        import torch

        return [torch.from_numpy(self.units(wave.cpu().numpy())).to(self.device) for wave in waves]
