"""Log-mel spectrograms, exactly as the NSF-HiFiGAN vocoder expects them.

Training, diffusion and vocoding share this one module: a copy with another
padding would be audible as buzz. torchaudio's and librosa's have other paddings,
and neither shifts the key.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.common.errors import ConfigError
from modules.config import DataConfig
from modules.dsp.mel_basis import mel_basis

FLOOR = 1e-5  # magnitude; ln gives -11.5, the value of silence
_CHUNK = 2600  # frames computed at a time, 30 s
_POWER_EPS = 1e-9  # the vocoder's; 1e-6 lifts silence to -10 and quiet bins with it


class LogMel(nn.Module):
    """Natural-log mel magnitudes (Slaney bands), frames not centred.

    Frame i covers the samples around (i + 0.5) hops; T samples give T // hop
    frames, and at least one. Without ``data`` the sizes are the published vocoder's.

    Raises:
        ConfigError: The window is longer than the FFT.
    """

    mel_basis: Tensor
    window: Tensor

    def __init__(self, data: DataConfig | None = None) -> None:
        super().__init__()
        data = data or DataConfig()
        self.n_fft, self.win_length, self.hop_length = data.n_fft, data.win_length, data.hop_length
        if self.win_length > self.n_fft:
            raise ConfigError(f"data.win_length {self.win_length} is above data.filter_length, {self.n_fft}")
        basis = mel_basis(data.sampling_rate, data.n_fft, data.n_mels, data.f_min, data.f_max)
        self.register_buffer("mel_basis", torch.from_numpy(basis), persistent=False)
        self.register_buffer("window", torch.hann_window(self.win_length), persistent=False)

    def forward(self, audio: Tensor, key_shift: float = 0.0, speed: float = 1.0) -> Tensor:
        """Log-mel (B, M, N) of ``audio`` (B, T).

        Args:
            audio: Samples in [-1, 1].
            key_shift: Semitones by which the spectrum is moved: the analysis
                window shrinks or grows, so the audio need not be resampled.
            speed: Factor on the hop.
        """
        scale = 2.0 ** (key_shift / 12)
        n_fft, win_length = round(self.n_fft * scale), round(self.win_length * scale)
        hop_length = round(self.hop_length * speed)
        window = self.window if key_shift == 0 else torch.hann_window(win_length).to(audio)
        left = (win_length - hop_length) // 2
        right = max((win_length - hop_length + 1) // 2, win_length - audio.shape[-1] - left)
        mode = "reflect" if right < audio.shape[-1] else "constant"
        padded = F.pad(audio.unsqueeze(1), (left, right), mode=mode).squeeze(1)
        if padded.shape[-1] < n_fft:
            padded = F.pad(padded, (0, n_fft - padded.shape[-1]))
        n_frames = (padded.shape[-1] - n_fft) // hop_length + 1
        parts = []
        for first in range(0, n_frames, _CHUNK):
            last = min(first + _CHUNK, n_frames) - 1
            samples = padded[:, first * hop_length : last * hop_length + n_fft]
            parts.append(self._log_mel(samples, n_fft, hop_length, window.to(audio), key_shift))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    def _log_mel(
        self, samples: Tensor, n_fft: int, hop_length: int, window: Tensor, key_shift: float
    ) -> Tensor:
        """Log-mel (B, M, N) of padded ``samples`` (B, T)."""
        win_length = len(window)
        spectrum = torch.stft(
            samples, n_fft, hop_length, win_length, window, center=False, return_complex=True
        )
        magnitude = torch.view_as_real(spectrum).square().sum(-1).add(_POWER_EPS).sqrt()
        if key_shift != 0:
            bins = self.n_fft // 2 + 1
            magnitude = F.pad(magnitude, (0, 0, 0, max(0, bins - magnitude.shape[1])))[:, :bins]
            magnitude = magnitude * (self.win_length / win_length)
        return torch.matmul(self.mel_basis.to(magnitude), magnitude).clamp(min=FLOOR).log()
