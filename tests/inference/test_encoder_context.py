"""The window that an encoder gets: around the slice, within the song."""

from inference.encoder_context import expand_window


def test_windows():
    for first, n_frames, wanted, window in (
        (40, 20, 0, (40, 20)),  # an encoder that asks for nothing gets the slice
        (40, 20, 61, (20, 61)),
        (0, 20, 60, (0, 60)),
        (90, 10, 60, (40, 60)),
        (-5, 20, 60, (-5, 60)),  # slices are rendered a little beyond the song
        (90, 15, 60, (45, 60)),
        (40, 20, 500, (0, 100)),
        (-5, 110, 500, (-5, 110)),
    ):
        assert expand_window(first, n_frames, wanted, 100) == window


def test_the_slice_is_always_inside():
    for first in range(-3, 12):
        for n_frames in range(1, 16):
            for wanted in range(20):
                start, length = expand_window(first, n_frames, wanted, 10)
                assert start <= first and first + n_frames <= start + length
                there = max(first + n_frames, 10) - min(first, 0)
                assert length == max(n_frames, min(wanted, there))
