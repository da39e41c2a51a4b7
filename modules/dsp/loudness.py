"""Levels: trimming silence, normalizing peaks or loudness, and 16-bit samples.

Published models were trained on normalized peaks, but then a single click decides
how loud a clip is. Normalized loudness (ITU-R BS.1770, measured by pyloudnorm) is
steadier; its gain is limited so that the true peak, between samples too, stays
below a ceiling.
"""

from __future__ import annotations

import math

import numpy as np

from modules.dsp.audio import resample

TARGET_LUFS = -20.0  # leaves dry singing, with peaks up to 19 dB above it, below the ceiling
TRUE_PEAK_CEILING = -1.0  # dBTP
_BLOCK = 0.4  # s, the gating block of BS.1770


def trim_silence(audio: np.ndarray) -> np.ndarray:
    """``audio`` (T,) without the silence at both ends.

    A frame is silent if its RMS is 40 dB or more below that of the loudest. The
    result is that of ``librosa.effects.trim``, whose import takes every worker a second.
    """
    frame, hop = 2048, 512
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    centre = np.arange(len(audio) // hop + 1) * hop
    low, high = np.maximum(centre - frame // 2, 0), np.minimum(centre + frame // 2, len(audio))
    power = energy[high] - energy[low]
    loud = np.flatnonzero(power > power.max() * 1e-4)  # 40 dB
    if len(loud) == 0:
        return audio[:0]
    return audio[loud[0] * hop : (loud[-1] + 1) * hop]


def match_peak(audio: np.ndarray) -> np.ndarray:
    """``audio`` (T,) with its highest sample at full scale; silence is unchanged."""
    peak = np.abs(audio).max(initial=0.0)
    return audio / peak if peak > 0 else audio


def below_full_scale(audio: np.ndarray) -> np.ndarray:
    """``audio`` (T,), scaled to a peak of 0.98 if it exceeds 1."""
    peak = np.abs(audio).max(initial=0.0)
    return audio * np.float32(0.98 / peak) if peak > 1.0 else audio


def match_lufs(audio: np.ndarray, sampling_rate: int, target: float = TARGET_LUFS) -> np.ndarray:
    """``audio`` (T,) at a loudness of ``target`` LUFS, or as near as the ceiling of true peaks allows.

    One gain for the whole clip, without compression or limiting. Silence is unchanged.
    """
    loudness = integrated_loudness(audio, sampling_rate)
    if not math.isfinite(loudness):
        return audio
    gain = 10.0 ** ((target - loudness) / 20.0)
    highest = 10.0 ** (TRUE_PEAK_CEILING / 20.0) / true_peak(audio, sampling_rate)
    return audio * np.float32(min(gain, highest))


def integrated_loudness(audio: np.ndarray, sampling_rate: int) -> float:
    """Loudness of ``audio`` (T,) in LUFS; -inf for silence.

    A clip shorter than one gating block (0.4 s) is measured as if it were repeated.
    """
    import pyloudnorm

    if len(audio) == 0:
        return -math.inf
    block = math.ceil(_BLOCK * sampling_rate)
    if len(audio) < block:
        audio = np.resize(audio, block)
    return float(pyloudnorm.Meter(sampling_rate).integrated_loudness(audio.astype(np.float64)))


def true_peak(audio: np.ndarray, sampling_rate: int) -> float:
    """Highest magnitude of ``audio`` (T,), also between samples (4 × oversampled)."""
    between = resample(audio, sampling_rate, 4 * sampling_rate)
    return float(max(np.abs(audio).max(initial=0.0), np.abs(between).max(initial=0.0)))


def to_int16(audio: np.ndarray) -> np.ndarray:
    """``audio`` (T,) as 16-bit samples, rounded, clipped beyond ±1.

    The scale is libsndfile's (1 = 32768), so samples of a 16-bit file are unchanged.
    """
    return np.clip(np.rint(audio * np.float32(32768.0)), -32768, 32767).astype(np.int16)
