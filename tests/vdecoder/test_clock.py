import numpy as np

from vdecoder.clock import SONG_START, SongClock, SourceStart, frame_cycles
from vdecoder.draws import N_HARMONICS, initial_phase, source_noise

RATE, HOP = 44100, 512


def test_a_slice_has_the_phase_of_the_one_before_where_it_takes_over():
    f0 = np.linspace(100, 400, 50)
    clock, cycles = SongClock(), frame_cycles(f0, HOP, RATE)
    assert clock.start(-20, None, cycles[:31]) == SONG_START  # frames -20 to 10
    start = clock.start(0, 5, cycles[20:51] - cycles[20])
    assert start.frame == 20
    np.testing.assert_allclose(start.phase, cycles[20] % 1, atol=1e-12)
    # silence between: the phase waits
    start = clock.start(500, 501, frame_cycles(f0, HOP, RATE))
    np.testing.assert_allclose(start.phase, (cycles[50] - f0[0] * HOP / RATE) % 1, atol=1e-9)
    assert clock.start(7, None, cycles) == SONG_START  # another song


def test_an_hour_does_not_drift():
    clock, cycles = SongClock(), frame_cycles(np.full(100, 441.3), HOP, RATE)
    for number in range(3100):
        start = clock.start(90 * number, 90 * number + 4 if number else None, cycles)
    wanted = 90 * 3099 * HOP * 4413 % 441000 / 441000  # 441.3 / 44100 cycles a sample
    assert abs((start.phase - wanted + 0.5) % 1 - 0.5) < 1e-6


def test_noise_belongs_to_the_frame_and_that_of_a_song_of_one_slice_is_one_stream():
    noise = source_noise(SONG_START, 5000, 8)
    for first, n_frames in ((0, 1), (100, 3000), (4090, 10), (4096, 1), (4999, 1)):
        wanted = noise[first * 8 : (first + n_frames) * 8]
        np.testing.assert_array_equal(source_noise(SourceStart(first), n_frames, 8), wanted)
    one = np.random.default_rng(0).standard_normal(4096 * 8, np.float32)
    np.testing.assert_array_equal(noise[: len(one)], one)
    assert abs(np.corrcoef(noise[:4000], noise[-4000:])[0, 1]) < 0.05


def test_every_harmonic_goes_on_from_its_own_phase():
    order = np.arange(1, N_HARMONICS + 1)
    moved = initial_phase(SourceStart(3, 0.25)) - initial_phase(SONG_START)
    np.testing.assert_allclose(moved, 0.25 * order, atol=1e-12)
    assert initial_phase(SONG_START)[0] == 0 and (initial_phase(SONG_START)[1:] > 0).all()
