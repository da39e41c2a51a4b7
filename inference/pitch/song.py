"""The pitch that a song is converted with, where more than the F0 predictor has a say."""

from __future__ import annotations

import logging

import numpy as np

from inference.conversion import PitchFiles
from inference.options import ConvertOptions
from inference.options.checks import AUTO_KEY, Key
from inference.pitch.edit import sing_notes, tune
from inference.pitch.files import read_f0, write_f0
from inference.pitch.midi import read_midi, write_midi
from inference.pitch.scale import detect_scale, parse_scale
from modules.dsp.notes import find_notes

logger = logging.getLogger(__name__)


def needs_curve(options: ConvertOptions, key: Key, files: PitchFiles) -> bool:
    """Whether the pitch of the whole song must be known before its first slice is rendered."""
    tuned = options.autotune > 0 and not options.auto_predict_f0
    return bool(files.f0 or files.midi) or tuned or key == AUTO_KEY


def given_curve(curve: np.ndarray | None, files: PitchFiles, n_frames: int, frame_rate: float) -> np.ndarray:
    """``curve`` (n_frames,), or that of --f0, Hz, 0 where unvoiced, NaN where the F0 predictor decides.

    Raises:
        ConfigError: The file is wrong.
    """
    if curve is not None:
        return np.pad(curve[:n_frames], (0, max(0, n_frames - len(curve))), constant_values=np.nan)
    if files.f0 is None:
        return np.full(n_frames, np.nan, np.float32)
    given = read_f0(files.f0, n_frames, frame_rate)
    if np.isnan(given).all():
        logger.warning("%s: none of its times lies within the song", files.f0)
    return given


def edit(f0: np.ndarray, frame_rate: float, files: PitchFiles, options: ConvertOptions) -> np.ndarray:
    """The song's pitch ``f0`` (N,), Hz, 0 where unvoiced, with --midi and --autotune.

    Raises:
        ConfigError: The MIDI file or the scale is wrong.
    """
    if files.midi is not None:
        f0 = sing_notes(f0, frame_rate, read_midi(files.midi))
    if options.autotune > 0 and not options.auto_predict_f0:
        scale = parse_scale(options.scale)
        if scale is None:
            scale = detect_scale(f0)
            logger.info("--scale auto: %s", scale.name)
        f0 = tune(f0, frame_rate, options.autotune, scale)
    return f0


def part(f0: np.ndarray, first: int, n_frames: int) -> np.ndarray:
    """Frames of the song's curve ``f0`` (N,) from ``first`` on, (n_frames,), 0 outside the song."""
    start, stop = max(0, first), max(0, min(len(f0), first + n_frames))
    return np.pad(f0[start:stop], (start - first, max(0, first + n_frames - max(start, stop))))[:n_frames]


def write(files: PitchFiles, f0: np.ndarray, frame_rate: float, converted: slice) -> None:
    """Write the ``converted`` frames of a song's curve ``f0`` (N,) to the files asked for. Raises OSError."""
    f0 = np.pad(f0[converted], (min(converted.start, len(f0)), 0), constant_values=np.nan)
    if files.write_f0 is not None:
        write_f0(files.write_f0, f0, frame_rate)
    if files.write_midi is not None:
        write_midi(files.write_midi, find_notes(f0, frame_rate))
