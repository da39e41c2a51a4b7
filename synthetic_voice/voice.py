"""Source-filter synthesis: glottal pulses and noise through a time-varying vocal tract.

The pulses are a Dirichlet kernel, the closed form of a sum of cosines, so they are
band-limited and in phase with an f0 curve that is integrated exactly
(scipy.special.diric rounds differently, which would change every recording). Each
short frame is filtered on FFT bins; overlapping frames crossfade.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter1d

from synthetic_voice.controls import Controls
from synthetic_voice.expression import GRID_RATE
from synthetic_voice.singers import SyntheticSinger
from synthetic_voice.tract import Tract

HOP_SECONDS = 256 / 44100
RINGING = 12  # hops in an FFT: room for the narrowest formant to decay by 80 dB
BLOCK = 64  # frames at a time: their spectra stay in the cache
PULSE_NOISE = 0.6  # modulation of the breath noise by each opening of the glottis
BRIGHTER = 30.0  # dB of loudness by which the spectral tilt starts ten times as high


def render(
    controls: Controls, singer: SyntheticSinger, sampling_rate: int, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Synthesise (T,) float32, T = ``samples``; 1 is the RMS of a sung vowel."""
    hop = round(HOP_SECONDS * sampling_rate)
    size = scipy.fft.next_fast_len(RINGING * hop, real=True)
    synthesizer = _FrameSynthesizer(controls, Tract(singer, sampling_rate, size), size)
    frames = samples // hop + 2
    noise = rng.standard_normal((2, (frames + 1) * hop), dtype=np.float32)
    audio = np.zeros(frames * hop + size)
    for first in range(0, frames, BLOCK):
        index = np.arange(first, min(first + BLOCK, frames))
        starts = index[:, None] * hop + np.arange(2 * hop)
        # frame 0 starts one hop before the clip, so that every sample is in two frames
        times = (starts - hop) / sampling_rate
        active = synthesizer.active(times)
        sound = synthesizer.frames(times[active], noise[:, starts[active]])
        for frame, wave in zip(index[active], sound, strict=True):
            audio[frame * hop : frame * hop + size] += wave
    return audio[hop : hop + samples].astype(np.float32)


def pulses(phase: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    """Sum of 2 cos(k phase) for k from 1 to ``harmonics``, in closed form; phase in radians, float64."""
    half = 0.5 * phase
    divisor = np.sin(half)
    peak = np.abs(divisor) < 1e-7
    kernel = np.sin((2 * harmonics + 1) * half) / np.where(peak, 1.0, divisor)
    return np.where(peak, 2.0 * harmonics, kernel - 1)


def cycles(f0: np.ndarray) -> np.ndarray:
    """Glottal cycles since the start, at each point of the grid of ``f0`` in Hz."""
    return np.concatenate([[0.0], np.cumsum(0.5 * (f0[1:] + f0[:-1]))]) / GRID_RATE


class _FrameSynthesizer:
    """Synthesis by frames: F frames of W samples, times (F, W) in s."""

    def __init__(self, controls: Controls, tract: Tract, size: int) -> None:
        self.controls, self.tract, self.size = controls, tract, size
        self.cycles = cycles(controls.f0)
        # the highest f0 of a frame decides which harmonics are safe in all of it
        self.highest = maximum_filter1d(controls.f0, 2 * int(np.ceil(HOP_SECONDS * GRID_RATE)) + 3)
        self.hiss = controls.frication.sum(axis=1)
        self.sounding = np.cumsum(controls.voice + controls.aspiration + self.hiss > 0)

    def active(self, times: np.ndarray) -> np.ndarray:
        """Whether frames have any source (F,); the others stay digital silence."""
        last = len(self.sounding) - 1
        before = np.clip(np.floor(times[:, 0] * GRID_RATE).astype(int) - 1, 0, last)
        until = np.clip(np.ceil(times[:, -1] * GRID_RATE).astype(int), 0, last)
        return self.sounding[until] > np.where(before > 0, self.sounding[before], 0)

    def frames(self, times: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Sound (F, size) of frames; ``noise`` (2, F, W) is white, of unit variance."""
        controls, tract = self.controls, self.tract
        window = np.hanning(times.shape[1] + 1)[:-1]
        position = np.clip(times * GRID_RATE, 0, len(controls.f0) - 1.001)
        point = position.astype(np.int64)
        part = position - point
        middle = point[:, times.shape[1] // 2]

        def along(curve: np.ndarray) -> np.ndarray:
            return curve[point] + part * (curve[point + 1] - curve[point])

        f0, gain = controls.f0[middle], along(controls.voice)
        # the integral of a straight line, from the grid point on
        passed = 0.5 * (controls.f0[point] + along(controls.f0)) * part / GRID_RATE
        phase = 2 * np.pi * ((self.cycles[point] + passed) % 1.0)
        train = pulses(phase, np.floor(tract.limit / self.highest[middle])[:, None])
        tilt = tract.singer.tilt * 10 ** (controls.loudness[middle] / BRIGHTER)
        spectrum = self._fft(train * gain * window) * tract.glottis(f0, tilt)
        spectrum *= tract.opening(controls.zero[middle], controls.lowpass[middle])
        breath = 10 ** (tract.singer.breathiness / 20) * gain * (1 + PULSE_NOISE * np.cos(phase))
        air = (breath + along(controls.aspiration)) * noise[0]
        spectrum += self._fft(air * window) * tract.aspiration
        spectrum *= tract.formants(controls.formants[middle], f0)
        kinds = controls.frication[middle].astype(np.float32)
        hissing = kinds.any(axis=1)
        if hissing.any():
            share = kinds[hissing] / kinds[hissing].sum(axis=1, keepdims=True)
            hiss = (along(self.hiss) * noise[1] * window)[hissing]
            spectrum[hissing] += self._fft(hiss) * (share @ tract.frication)
        return scipy.fft.irfft(spectrum, self.size, axis=-1)

    def _fft(self, frames: np.ndarray) -> np.ndarray:
        return scipy.fft.rfft(frames.astype(np.float32), self.size, axis=-1)
