"""The window that an encoder hears: around the slice, within the song."""

import pytest

from inference.encoder_context import expand_window


@pytest.mark.parametrize(
    ("first", "n_frames", "wanted", "song", "window"),
    [
        (40, 20, 0, 100, (40, 20)),  # an encoder that asks for nothing hears the slice
        (40, 20, 20, 100, (40, 20)),
        (40, 20, 61, 100, (20, 61)),
        (0, 20, 60, 100, (0, 60)),
        (90, 10, 60, 100, (40, 60)),
        (-5, 20, 60, 100, (-5, 60)),  # slices are rendered a little beyond the song
        (90, 15, 60, 100, (45, 60)),
        (40, 20, 500, 100, (0, 100)),
        (-5, 110, 500, 100, (-5, 110)),
        (-5, 30, 500, 100, (-5, 105)),
    ],
)
def test_windows(first, n_frames, wanted, song, window):
    assert expand_window(first, n_frames, wanted, song) == window


def test_the_slice_is_always_inside():
    for first in range(-3, 12):
        for n_frames in range(1, 16):
            for wanted in range(20):
                start, length = expand_window(first, n_frames, wanted, 10)
                assert start <= first and first + n_frames <= start + length
                there = max(first + n_frames, 10) - min(first, 0)
                assert length == max(n_frames, min(wanted, there))
