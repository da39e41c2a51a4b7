"""A session between sound cards in virtual time: clocks that differ, calls that fail, and cards that go."""

import sys
import tracemalloc
from array import array

import numpy as np
import pytest

from inference.realtime.devices import DeviceStreams, find_device
from inference.realtime.runner import DeviceWatch
from inference.realtime.session import LiveSession
from tests.inference.realtime.fake_portaudio import Card, FakePortAudio

RATE = 44100


class PassThrough:
    """An engine that gives back what it gets, ``delay`` samples later, after so many seconds of computing."""

    sampling_rate = RATE

    def __init__(self, world, seconds=lambda block: 0.015, block=1536, delay=1536):
        self.block, self.delay, self.world, self.seconds = block, delay, world, seconds
        self.latency = (block + delay) / RATE
        self._tail, self.count = np.zeros(delay, np.float32), 0

    def process(self, audio):
        self.world.spend(self.seconds(self.count))
        self.hear(audio)
        return self._out

    def hear(self, audio):
        self.count += 1
        whole = np.concatenate([self._tail, audio])
        self._out, self._tail = whole[: self.block], whole[self.block :]

    def warm_up(self):
        self.warm = True

    def prime(self, audio):
        self.primed = audio

    def follow(self, other):
        self._tail = other._tail


def clicks(times):
    """A short sound at every second."""
    phase = (times + 0.5) % 1.0 - 0.5
    return np.exp(-np.square(phase / 0.0005)).astype(np.float32)


class Rig:
    """A session between two cards."""

    def __init__(self, monkeypatch, source, sink, **engine):
        self.world = FakePortAudio(source, sink)
        monkeypatch.setitem(sys.modules, "sounddevice", self.world)
        self.source, self.sink = source, sink
        self.engine = PassThrough(self.world, **engine)
        self.streams = DeviceStreams(find_device("input", None), find_device("output", None))
        rates = self.streams.rates(RATE)
        self.session = LiveSession(self.engine, *rates, clock=self.world.clock)
        self.watch = DeviceWatch(self.session, self.streams, rates, self.world.clock)
        self.streams.open(self.session, rates)
        self.reported = array("d")  # that an hour of them takes little memory

    def run(self, seconds):
        for _ in range(round(seconds * 4)):
            self.until = self.world.now + 0.25
            self.world.run(0.25, self.pump)
            self.watch.check()
            self.reported.append(self.session.latency)
        return self

    def pump(self):
        while self.session.pump() and self.world.now < self.until:
            pass

    def latencies(self, after=0.0):
        """Time from each click to the same click at the output, s, and how loud it is there."""
        rate = self.streams._streams[0].rate * (1 + self.sink.error)
        times = np.concatenate([first + np.arange(len(audio)) / rate for first, audio in self.sink.played])
        audio = np.concatenate([audio for _, audio in self.sink.played])
        found = []
        for second in range(int(np.ceil(times[0])), int(times[-1])):
            part = slice(*np.searchsorted(times, [second, second + 0.9]))
            if second >= after and audio[part].max(initial=0) > 0.5:
                found.append(times[part][audio[part].argmax()] - second)
        return np.array(found)


def cards(**changes):
    source = Card("Mic", inputs=1, sound=clicks)
    sink = Card("Phones", outputs=2)
    for name, value in changes.items():
        side, _, attribute = name.partition("_")
        setattr(source if side == "mic" else sink, attribute, value)
    return source, sink


@pytest.mark.parametrize(
    "rates", [(44100.0, 44100.0), (48000.0, 44100.0), (44100.0, 48000.0), (48000.0, 16000.0)]
)
def test_every_sound_is_as_late_as_reported(monkeypatch, rates):
    rig = Rig(
        monkeypatch, *cards(mic_rates=rates[:1], mic_rate=rates[0], out_rates=rates[1:], out_rate=rates[1])
    )
    found = rig.run(8).latencies(after=2)
    assert len(found) >= 5
    assert np.ptp(found) < 0.001
    # the first sample of a callback is older by the callback's length than the call
    callbacks = 0.01
    assert abs(np.median(found) - rig.session.latency) < callbacks
    assert found.max() < 0.15 and rig.session.status().underruns == 0


@pytest.mark.parametrize(("mic", "out"), [(300e-6, -100e-6), (-200e-6, 200e-6), (0.0, 50e-6)])
def test_clocks_that_differ_keep_the_latency(monkeypatch, mic, out):
    rig = Rig(monkeypatch, *cards(mic_error=mic, out_error=out)).run(90)
    found = rig.latencies(after=3)
    assert np.ptp(found) < 0.001  # s; without correction it would drift by up to 36 ms
    status = rig.session.status()
    assert (status.underruns, status.skipped) == (0, 0)
    assert status.speed == pytest.approx(mic - out, abs=50e-6)


def test_late_and_dropped_calls_are_made_up_for(monkeypatch):
    rig = Rig(
        monkeypatch,
        *cards(
            mic_late=lambda call: 0.012 if call % 97 == 5 else 0.0,
            mic_dropped=lambda call: call % 1500 == 1499,
            out_late=lambda call: 0.004 if call % 31 == 3 else 0.0,
        ),
    ).run(40)
    found = rig.latencies(after=5)
    assert len(found) >= 30
    assert np.ptp(found) < 0.02  # s: a dropped call is 5 ms, which fade slowly
    assert rig.session.status().underruns == 0


def bursts(n, first=0):
    """Lateness of calls of 5 ms that a sound server hands over ``n`` at a time."""
    return lambda call: 0.005 * (n - 1 - (call + first) % n)


@pytest.mark.parametrize(("mic", "out"), [(16, 1), (1, 12), (9, 14), (30, 10)])
def test_bursts_longer_than_a_block_are_no_delay(monkeypatch, mic, out):
    changes = {"mic_late": bursts(mic), "out_late": bursts(out, 3), "mic_error": 150e-6, "out_error": -100e-6}
    rig = Rig(monkeypatch, *cards(**changes), seconds=lambda block: 0.024).run(40)
    status = rig.session.status()
    assert (status.underruns, status.skipped, status.lost) == (0, 0, 0)
    found = rig.latencies(after=5)
    assert len(found) >= 30 and np.ptp(found) < 0.002
    # blocks, computing, and what comes or is asked for at once
    assert found.max() < 0.035 * 3 + 0.005 * (mic + out) + 0.01


def test_a_burst_that_never_comes_again_is_forgotten(monkeypatch):
    late = lambda call: 0.005 * max(0, 40 - call) if call < 40 else 0.0  # noqa: E731
    rig = Rig(monkeypatch, *cards(mic_late=late)).run(30)
    plain = Rig(monkeypatch, *cards()).run(30)
    assert abs(np.median(rig.latencies(after=20)) - np.median(plain.latencies(after=20))) < 0.003


@pytest.mark.parametrize("side", ["mic", "out"])
def test_a_device_that_stood_still_is_on_time_again_at_once(monkeypatch, side):
    still = {f"{side}_dropped": lambda call: 2000 <= call < 2300}  # 1.5 s, of which nothing comes later
    rig = Rig(monkeypatch, *cards(**still)).run(30)
    before, after = rig.latencies()[3:8], rig.latencies(after=12)
    assert len(after) >= 17 and np.abs(after - np.median(before)).max() < 0.006
    assert rig.session.status().underruns == (side == "mic")


def test_a_stall_is_skipped_and_counted(monkeypatch):
    rig = Rig(monkeypatch, *cards(), seconds=lambda block: 1.2 if block == 100 else 0.015).run(30)
    status = rig.session.status()
    assert status.underruns == 1 and 30 <= status.skipped <= 36
    found = rig.latencies(after=25)
    assert abs(found - np.median(rig.latencies()[:3])).max() < 0.003
    assert status.lost == 0


def test_a_machine_too_slow_says_which_block_would_do(monkeypatch):
    rig = Rig(monkeypatch, *cards(), seconds=lambda block: 0.045).run(10)
    status = rig.session.status()
    assert status.load > 1 and status.skipped > 0
    assert status.suggestion == 65  # ms: 45 ms at a load of 0.7
    assert Rig(monkeypatch, *cards()).run(3).session.status().suggestion == 0


def test_a_device_goes_and_comes_back(monkeypatch, caplog):
    source, sink = cards()
    rig = Rig(monkeypatch, source, sink).run(5)
    source.plugged = False
    rig.run(3)
    assert "unplugged" in caplog.text and not rig.streams._streams
    source.plugged = True
    rig.run(6)
    assert "are back" in caplog.text
    before, after = rig.latencies()[1:3], rig.latencies(after=11)
    assert len(after) >= 2 and np.abs(after - before.mean()).max() < 0.006


def test_another_voice_goes_on_without_a_gap(monkeypatch):
    tone = lambda times: np.sin(2 * np.pi * 220 * times).astype(np.float32)  # noqa: E731
    rig = Rig(monkeypatch, *cards(mic_sound=tone)).run(3)
    other = PassThrough(rig.world)
    rig.session.swap(other)
    rig.run(3)
    assert rig.session.engine is other and other.warm
    assert len(other.primed) > 2 * RATE
    audio = np.concatenate([audio for _, audio in rig.sink.played])[3 * RATE // 2 :]
    assert np.abs(np.diff(audio)).max() < 1.2 * 2 * np.pi * 220 / 44100  # nothing but the tone


def test_levels_are_those_of_the_blocks(monkeypatch):
    rig = Rig(monkeypatch, *cards(mic_sound=lambda times: np.full(len(times), 0.1, np.float32))).run(2)
    status = rig.session.status()
    assert status.input_level == pytest.approx(-20, abs=0.1) == status.output_level


@pytest.mark.parametrize("minutes", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_hours_are_as_minutes(monkeypatch, minutes):
    rig = Rig(monkeypatch, *cards(mic_error=120e-6, out_error=-80e-6, out_keep=False))
    rig.run(20)
    rig.reported = array("d")
    tracemalloc.start()
    try:
        rig.run(30)
        before = tracemalloc.get_traced_memory()[0]
        rig.run(60 * minutes - 50)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 200_000  # bytes: what pytest and the reports themselves take
    assert np.ptp(rig.reported) < 0.001
    status = rig.session.status()
    assert (status.underruns, status.skipped, status.lost) == (0, 0, 0)
