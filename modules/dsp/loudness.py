"""Levels: trimming silence, normalizing peaks or loudness, and 16-bit samples.

Published models were trained on normalized peaks, but then a single click decides
how loud a clip is. Normalized loudness (ITU-R BS.1770, measured by pyloudnorm) is
steadier; its gain is limited so that the true peak, between samples too, stays
below a ceiling.
"""

from __future__ import annotations

import math

import numpy as np

from modules.dsp.audio import resample_blocks
from modules.dsp.blocks import BLOCK, Samples, blocks, changed, part, peak
from modules.dsp.infrasound import audible, block_length

TARGET_LUFS = -20.0  # leaves dry singing, with peaks up to 19 dB above it, below the ceiling
TRUE_PEAK_CEILING = -1.0  # dBTP
_HOP = 512  # samples between the frames of trim_silence, each of four hops
# BS.1770: gating blocks of 0.4 s, every 0.1 s; offset and thresholds in LUFS and LU
_BLOCK, _OFFSET, _ABSOLUTE, _RELATIVE = 0.4, -0.691, -70.0, -10.0
_WINDOW = 30  # s measured at a time, and one before them for the filters to settle


def trim_silence(audio: Samples, sampling_rate: int) -> Samples:
    """``audio`` (T,) without the silence at both ends.

    A frame is silent if its RMS, without rumble, is 40 dB or more below that of the loudest. The
    result is that of ``librosa.effects.trim``, whose import takes every worker a second.
    """
    energies = [np.zeros(2)]
    size = math.lcm(_HOP, block_length(sampling_rate))
    for block in blocks(audio, -(-BLOCK // size) * size):  # whole hops, except the last
        hops = np.pad(audible(block, sampling_rate), (0, -len(block) % _HOP)).reshape(-1, _HOP)
        energies.append(np.square(hops, dtype=np.float64).sum(1))
    energy = np.concatenate([*energies, np.zeros(2)])
    power = np.lib.stride_tricks.sliding_window_view(energy, 4).sum(1)[: len(audio) // _HOP + 1]
    loud = np.flatnonzero(power > power.max() * 1e-4)  # 40 dB
    if len(loud) == 0:
        return part(audio, 0, 0)
    return part(audio, int(loud[0]) * _HOP, min(len(audio), (int(loud[-1]) + 1) * _HOP))


def match_peak(audio: Samples) -> Samples:
    """``audio`` (T,) with its highest sample at full scale; silence is unchanged."""
    highest = peak(audio)
    return changed(audio, lambda block: block / highest) if highest > 0 else audio


def below_full_scale(audio: Samples) -> Samples:
    """``audio`` (T,), scaled to a peak of 0.98 if it exceeds 1."""
    highest = peak(audio)
    return changed(audio, lambda block: block * np.float32(0.98 / highest)) if highest > 1.0 else audio


def match_lufs(audio: Samples, sampling_rate: int, target: float = TARGET_LUFS) -> Samples:
    """``audio`` (T,) at a loudness of ``target`` LUFS, or as near as the ceiling of true peaks allows.

    One gain for the whole clip, without compression or limiting. Silence is unchanged.
    """
    loudness = integrated_loudness(audio, sampling_rate)
    if not math.isfinite(loudness):
        return audio
    gain = 10.0 ** ((target - loudness) / 20.0)
    highest = 10.0 ** (TRUE_PEAK_CEILING / 20.0) / true_peak(audio, sampling_rate)
    return changed(audio, lambda block: block * np.float32(min(gain, highest)))


def integrated_loudness(audio: Samples, sampling_rate: int) -> float:
    """Loudness of ``audio`` (T,) in LUFS; -inf for silence.

    A clip shorter than one gating block (0.4 s) is measured as if it were repeated. One of
    more than a minute is measured in windows, whose gating blocks are then gated together.
    """
    import pyloudnorm

    if len(audio) == 0:
        return -math.inf
    shortest = math.ceil(_BLOCK * sampling_rate)
    meter = pyloudnorm.Meter(sampling_rate)
    n_windows = len(audio) // (_WINDOW * sampling_rate)
    if n_windows < 2:
        whole = np.asarray(audio[:])
        whole = np.resize(whole, shortest) if len(whole) < shortest else whole
        return float(meter.integrated_loudness(whole.astype(np.float64)))
    levels: list[np.ndarray] = []
    for window in range(n_windows):
        first = max(0, window * _WINDOW - 1) * sampling_rate
        # the window's last block begins 0.1 s before its end
        stop = (window + 1) * _WINDOW * sampling_rate + math.ceil(0.75 * _BLOCK * sampling_rate)
        piece = audio[first : len(audio) if window == n_windows - 1 else stop]
        meter.integrated_loudness(piece.astype(np.float64))
        levels.append(np.array(meter.blockwise_loudness)[10 if window else 0 :])
    return _gated(np.concatenate(levels))


def _gated(levels: np.ndarray) -> float:
    """Loudness of a recording, LUFS, whose gating blocks have these ``levels``, LUFS."""
    power = 10.0 ** ((levels - _OFFSET) / 10.0)

    def mean(kept: np.ndarray) -> float:
        return _OFFSET + 10.0 * math.log10(power[kept].mean()) if kept.any() else -math.inf

    loud = levels >= _ABSOLUTE
    return mean(loud & (levels > mean(loud) + _RELATIVE))


def true_peak(audio: Samples, sampling_rate: int) -> float:
    """Highest magnitude of ``audio`` (T,), also between samples (4 × oversampled)."""
    between = resample_blocks(blocks(audio), sampling_rate, 4 * sampling_rate)
    return float(max(peak(audio), *map(peak, between)))


def to_int16(audio: np.ndarray) -> np.ndarray:
    """``audio`` (T,) as 16-bit samples, rounded, clipped beyond ±1.

    The scale is libsndfile's (1 = 32768), so samples of a 16-bit file are unchanged.
    """
    return np.clip(np.rint(audio * np.float32(32768.0)), -32768, 32767).astype(np.int16)
