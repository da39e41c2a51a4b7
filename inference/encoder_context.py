"""How much of the song an encoder hears, which may be more than the slice that is rendered.

An encoder that measures a voice by its own average is unsure of a slice of two
seconds. It says so by an attribute ``context_seconds``, and is given more of
the same song.
"""

from __future__ import annotations


def expand_window(first: int, n_frames: int, wanted: int, song: int) -> tuple[int, int]:
    """Return (first frame, number of frames) of a window that holds the given one.

    It has ``wanted`` frames, or as many as the song has, as evenly to both
    sides as the song's ends allow. It goes beyond them only where the given one does.

    Args:
        first: First frame of the slice; negative before the song begins.
        n_frames: Frames of the slice.
        wanted: Frames that the encoder needs.
        song: Frames of the song.
    """
    lowest, highest = min(first, 0), max(first + n_frames, song)
    length = max(wanted, n_frames)
    start = first - (length - n_frames) // 2
    start = max(lowest, min(start, highest - length))
    return start, min(length, highest - start)
