"""Levels: silence trimmed, peaks or loudness matched, and 16 bits that never wrap.

Matching the peak is what published models were trained with, but a single click
then decides how loud a clip is. Matching loudness (ITU-R BS.1770) is steadier;
its gain stops where the true peak, between samples too, meets a ceiling.
"""

from __future__ import annotations

import math

import numpy as np

from modules.dsp.audio import resample

TARGET_LUFS = -20.0  # leaves dry singing, with peaks up to 19 dB above it, below the ceiling
TRUE_PEAK_CEILING = -1.0  # dBTP
_BLOCK = 0.4  # s, the gating block of BS.1770


def trim_silence(audio: np.ndarray, top_db: float = 40.0, frame: int = 2048, hop: int = 512) -> np.ndarray:
    """Return ``audio`` (T,) without the silence at both ends, as ``librosa.effects.trim`` does.

    A frame is silent if its RMS is ``top_db`` or more below that of the loudest.
    """
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    centre = np.arange(len(audio) // hop + 1) * hop
    low, high = np.maximum(centre - frame // 2, 0), np.minimum(centre + frame // 2, len(audio))
    power = energy[high] - energy[low]
    loud = np.flatnonzero(power > power.max() * 10.0 ** (-top_db / 10.0))
    if len(loud) == 0:
        return audio[:0]
    return audio[loud[0] * hop : (loud[-1] + 1) * hop]


def match_peak(audio: np.ndarray) -> np.ndarray:
    """Return ``audio`` (T,) with its highest sample at full scale; silence stays silence."""
    peak = np.abs(audio).max(initial=0.0)
    return audio / peak if peak > 0 else audio


def below_full_scale(audio: np.ndarray) -> np.ndarray:
    """Return ``audio`` (T,), scaled to a peak of 0.98 if it exceeds 1."""
    peak = np.abs(audio).max(initial=0.0)
    return audio * np.float32(0.98 / peak) if peak > 1.0 else audio


def match_lufs(
    audio: np.ndarray,
    sampling_rate: int,
    target: float = TARGET_LUFS,
    ceiling: float = TRUE_PEAK_CEILING,
) -> np.ndarray:
    """Return ``audio`` (T,) at a loudness of ``target`` LUFS, or as near as ``ceiling`` dBTP lets it.

    One gain for the whole clip: nothing is compressed or limited. Silence stays silence.
    """
    loudness = integrated_loudness(audio, sampling_rate)
    if not math.isfinite(loudness):
        return audio
    gain = 10.0 ** ((target - loudness) / 20.0)
    highest = 10.0 ** (ceiling / 20.0) / true_peak(audio, sampling_rate)
    return audio * np.float32(min(gain, highest))


def integrated_loudness(audio: np.ndarray, sampling_rate: int) -> float:
    """Return the loudness of ``audio`` (T,) in LUFS; -inf for silence.

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
    """Return the highest magnitude of ``audio`` (T,), also between samples (4 × oversampled)."""
    between = resample(audio, sampling_rate, 4 * sampling_rate)
    return float(max(np.abs(audio).max(initial=0.0), np.abs(between).max(initial=0.0)))


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Return ``audio`` (T,) as 16-bit samples, rounded, clipped beyond ±1.

    The scale is libsndfile's (1 = 32768), so what was read from a 16-bit file comes back unchanged.
    """
    return np.clip(np.rint(audio * np.float32(32768.0)), -32768, 32767).astype(np.int16)
