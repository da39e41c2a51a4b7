"""The enhancer: resynthesis of converted audio by a vocoder.

The vocoder was trained on many hours of many voices, and repairs artifacts of a
voice model that was not. The adaptive key extends its range: the audio is
resampled, so that its pitch is lower for the vocoder, and resampled back after.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from modules.common.errors import ConfigError, FeatureError
from modules.dsp.audio import resample, resampled_length
from modules.dsp.f0 import fill_unvoiced
from modules.dsp.mel import LogMel
from vdecoder.base import Vocoder
from vdecoder.clock import SongClock

if TYPE_CHECKING:
    from modules.config import DataConfig

_GRID = 100  # Hz, the published rounding of the adaptive rate
_LARGEST_KEY = 24.0  # semitones; beyond, the voice is lost


class Enhancer:
    """Resynthesis of audio by a vocoder, which was built with ``data_config``."""

    def __init__(self, vocoder: Vocoder, data_config: DataConfig) -> None:
        self.vocoder = vocoder
        self.sampling_rate, self.hop_length = vocoder.sampling_rate, vocoder.hop_length
        self.log_mel = LogMel(data_config)
        self.clock = SongClock()

    def enhance(
        self,
        audio: Tensor,
        f0: Tensor,
        hop_length: float,
        sampling_rate: int | None = None,
        adaptive_key: float = 0.0,
        silence_front: float = 0.0,
        first: int = 0,
        join: int | None = None,
    ) -> Tensor:
        """The resynthesized audio, float32 on the vocoder's device, at the vocoder's rate.

        It has the duration of the input: T samples at the same rate. (The
        published enhancer loses up to a hop, and changes the caller's F0.)

        Args:
            audio: (T,).
            f0: (N,), Hz; frame i is at ``i * hop_length / sampling_rate`` seconds.
                Frames of 0 are unvoiced; an F0 without gaps is voiced throughout.
            hop_length: Samples of ``audio`` per frame of ``f0``.
            sampling_rate: Of the audio, Hz; None is the vocoder's own.
            adaptive_key: Semitones by which the vocoder works lower, so that high
                notes are in its range. The result is not shifted.
            silence_front: Seconds of silence at the beginning, which stay silent.
            first: Number of the first frame of ``f0`` in its song.
            join: Number of the frame at which this slice takes over from the one before; None: it is
                the first of its song.

        Raises:
            ConfigError: The key is beyond ±24.
            FeatureError: Audio or F0 is empty, or holds NaN or infinity.
        """
        if not abs(adaptive_key) <= _LARGEST_KEY:
            raise ConfigError(f"the enhancer's adaptive key must be within ±24 semitones, not {adaptive_key}")
        for name, track in (("audio", audio), ("f0", f0)):
            if track.ndim != 1 or not len(track):
                raise FeatureError(f"the enhancer needs {name} of one axis, not {tuple(track.shape)}")
            if not torch.isfinite(track).all():
                raise FeatureError(f"the {name} given to the enhancer holds NaN or infinity")
        rate = sampling_rate or self.sampling_rate
        wave, pitch = audio.detach().cpu().float().numpy(), f0.detach().cpu().double().numpy()
        length = resampled_length(len(wave), rate, self.sampling_rate)

        silent_frames = int(silence_front * rate / hop_length)
        silent = round(silent_frames * hop_length)
        if silent >= len(wave) or silent_frames >= len(pitch):
            return torch.zeros(length, device=self.vocoder.device)
        begin = resampled_length(silent, rate, self.sampling_rate)

        slower = adaptive_rate(self.sampling_rate, adaptive_key)
        # samples of the stretched song per frame of F0. Its samples and frames are those of all slices:
        # a slice begins where both rates have a sample, up to 10 ms before
        step = hop_length / rate * slower
        before = round(first * hop_length) % (rate // math.gcd(rate, slower))
        wave = np.pad(wave[silent:], (before, 0), mode="reflect")
        begin_there = round((first * hop_length - before) * slower / rate)
        frame, ahead = divmod(begin_there, self.hop_length)
        stretched = np.pad(resample(wave, rate, slower), (ahead, 0), mode="reflect")
        early = ahead + before * slower / rate
        f0_there, uv = self._track(pitch[silent_frames:], step, len(stretched), early, slower)
        padded = np.pad(stretched, (0, len(uv) * self.hop_length - len(stretched)))
        mel = self.log_mel(torch.from_numpy(padded)[None])[0]
        join_there = None if join is None else round(join * step) // self.hop_length
        start = self.clock.start(frame, join_there, self.vocoder.cycles(f0_there, uv))
        sound = self.vocoder.synthesize(mel, f0_there, uv, start).cpu().numpy()
        sound = resample(sound[ahead : len(stretched)], slower, self.sampling_rate)
        sound = sound[resampled_length(before, rate, self.sampling_rate) :][: length - begin]
        end = length - begin - len(sound)
        return torch.from_numpy(np.pad(sound, (begin, end))).to(self.vocoder.device)

    def _track(
        self, f0: np.ndarray, step: float, n_samples: int, ahead: float, rate: int
    ) -> tuple[Tensor, Tensor]:
        """F0 (N,) and voicing (N,) for the vocoder's frames of audio at ``rate`` Hz.

        The vocoder treats the audio as one at its own rate, so everything is
        slower and lower by the ratio of the two. ``f0`` is one every ``step`` samples, the first
        of them after ``ahead`` samples.
        """
        filled, voiced = fill_unvoiced(f0)
        times = np.arange(-(-n_samples // self.hop_length)) * self.hop_length - ahead
        given = np.arange(len(f0)) * step
        pitch = np.interp(times, given, filled) * (self.sampling_rate / rate)
        voicing = np.interp(times, given, voiced) >= 0.5
        return torch.from_numpy(pitch).float(), torch.from_numpy(voicing).float()


def adaptive_rate(sampling_rate: int, key: float) -> int:
    """Rate (Hz) of audio that is ``key`` semitones lower when played at ``sampling_rate``."""
    if key == 0:
        return sampling_rate
    return _GRID * round(sampling_rate * 2.0 ** (key / 12) / _GRID)
