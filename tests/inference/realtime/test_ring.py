"""What is between the callbacks and the computing: a ring, resamplers, a control and a load."""

import numpy as np
import pytest

from inference.realtime.drift import MOST, DriftControl
from inference.realtime.meters import LoadMeter
from inference.realtime.resampling import StreamResampler
from inference.realtime.ring import Ring


def test_a_ring_gives_back_what_it_got_in_order():
    ring, numbers = Ring(100), np.random.default_rng(0)
    sent, got = [], []
    for _ in range(500):
        audio = numbers.normal(size=numbers.integers(0, 60)).astype(np.float32)
        sent.append(audio[: ring.write(audio)])
        got.append(ring.read(int(numbers.integers(0, 60))))
        assert 0 <= len(ring) <= 100 == len(ring) + ring.room
    got.append(ring.read(1000))
    assert np.array_equal(np.concatenate(sent), np.concatenate(got))


@pytest.mark.parametrize(
    ("source", "target"), [(44100, 44100), (48000, 44100), (44100, 48000), (48000, 16000)]
)
def test_a_resampled_stream_lags_as_it_says(source, target):
    resampler = StreamResampler(source, target)
    time = np.arange(source) / source
    audio = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    out = np.concatenate([resampler.push(part) for part in np.array_split(audio, 90)])
    assert 1 - len(out) / target == pytest.approx(0, abs=0.006)
    begin = resampler.lag  # the silence that filled the filter comes first
    expected = np.sin(2 * np.pi * 440 * (np.arange(len(out)) / target - begin))
    middle = slice(len(out) // 4, -len(out) // 4)
    assert np.abs(out - expected)[middle].max() < 2 * 440 * 2 * np.pi / target + 0.005  # two samples


def test_a_changed_speed_is_a_changed_pitch_without_a_click():
    resampler = StreamResampler(44100, 44100)
    parts = []
    for number, start in enumerate(range(0, 88200, 441)):
        resampler.set_speed(0.002 if number > 100 else 0.0)
        time = np.arange(start, start + 441) / 44100
        parts.append(resampler.push(np.sin(2 * np.pi * 1000 * time).astype(np.float32)))
    out = np.concatenate(parts)
    assert len(out) == pytest.approx(88200 - 44100 * 0.002, abs=10)
    assert np.abs(np.diff(out[1000:])).max() < 1.01 * 2 * np.pi * 1000 / 44100


def test_the_control_finds_the_difference_of_the_clocks():
    control, latency, worst = DriftControl(), 0.0, 0.0
    for _ in range(5000):
        latency += 0.035 * (300e-6 - control.update(latency, 0.035))
        worst = max(worst, abs(latency))
    assert control.speed == pytest.approx(300e-6, rel=0.01)
    assert abs(latency) < 1e-4 and worst < 1e-3
    assert max(abs(control.update(10.0, 1.0)) for _ in range(100)) == MOST


def test_once_the_clocks_are_known_jitter_hardly_moves_the_sound():
    """Latencies that seem up to 4 ms off, for seconds."""
    control, rng, jitter, latencies = DriftControl(), np.random.default_rng(0), 0.0, [0.0]
    for _ in range(6000):
        jitter = 0.95 * jitter + 0.4e-3 * rng.standard_normal()
        latencies.append(latencies[-1] + 0.035 * (100e-6 - control.update(latencies[-1] + jitter, 0.035)))
    assert np.ptp(latencies[1500:]) < 2e-3  # s, after a minute


def test_a_load_is_of_the_last_blocks_and_suggests_a_block():
    load = LoadMeter(0.035)
    assert (load.p95, load.suggestion) == (0, 0)
    for _ in range(50):
        load.add(0.05)
    assert load.p95 == pytest.approx(0.05 / 0.035) and load.suggestion == 75
    for _ in range(50):
        load.add(0.02)
    assert load.suggestion == 0
