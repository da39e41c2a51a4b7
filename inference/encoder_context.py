"""The context around a slice that its speech encoder gets.

An encoder that normalises by the average of its input is unreliable on a slice
of two seconds. Its attribute ``context_seconds`` asks for more of the recording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modules.dsp.align import align_units
from modules.dsp.audio import resample

if TYPE_CHECKING:
    from inference.conversion import TargetVoice
    from inference.pipeline import SongConverter
    from inference.source import SourceAudio


def expand_window(first: int, n_frames: int, wanted: int, total: int) -> tuple[int, int]:
    """Expand a window to ``wanted`` frames, evenly to both sides; return (first frame, number of frames).

    The ends of the recording of ``total`` frames limit it, except where the slice itself lies beyond
    them: ``first`` is negative before the recording begins.
    """
    lowest, highest = min(first, 0), max(first + n_frames, total)
    length = max(wanted, n_frames)
    start = first - (length - n_frames) // 2
    start = max(lowest, min(start, highest - length))
    return start, min(length, highest - start)


def slice_units(
    converter: SongConverter, source: SourceAudio, first: int, n_frames: int, target: TargetVoice
) -> tuple[np.ndarray, np.ndarray | None]:
    """Units (D, N) of N frames of a song, encoded with as much context as the encoder asks for.

    The second are those for the diffusion model, if it wants them aligned otherwise.
    """
    data, encoder, rate = converter.config.data, converter.encoder, converter.sampling_rate
    wanted = round(encoder.context_seconds * rate / data.hop_length)
    start, length = expand_window(first, n_frames, wanted, -(-source.n_samples // data.hop_length))
    audio = source.read(start * data.hop_length, (start + length) * data.hop_length)
    units = converter.encode(resample(audio, rate, encoder.sampling_rate))
    if target.blender:
        units = target.blender.blend(units, target.name, converter.options.cluster_infer_ratio)
    frames = first - start, first - start + n_frames
    aligned = align_units(units, length, data, encoder.clock, *frames)
    other = converter.diffusion_data
    if other is None or other.unit_interpolate_mode == data.unit_interpolate_mode:
        return aligned, None
    return aligned, align_units(units, length, other, encoder.clock, *frames)
