"""The window that an encoder gets: around the slice, within the song."""

from inference.encoder_context import expand_window


def test_windows_are_as_long_as_asked_for_and_centred_where_the_song_allows():
    for first in range(-3, 12):
        for n_frames in range(1, 16):
            for wanted in range(20):
                start, length = expand_window(first, n_frames, wanted, 10)
                end, last = start + length, first + n_frames
                assert start <= first and last <= end
                assert length == max(n_frames, min(wanted, max(last, 10) - min(first, 0)))
                if min(first, 0) < start and end < max(last, 10):
                    assert 0 <= (end - last) - (first - start) <= 1
    # slices are rendered a little beyond the song
    assert expand_window(-5, 20, 60, 100) == (-5, 60) and expand_window(90, 15, 60, 100) == (45, 60)
