"""The context around a slice that its speech encoder gets.

An encoder that normalises by the average of its input is unreliable on a slice
of two seconds. Its attribute ``context_seconds`` asks for more of the recording.
"""

from __future__ import annotations


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
