"""Finding and opening sound cards, and a sentence for each thing that is wrong with one."""

import builtins
import sys

import numpy as np
import pytest

from inference.realtime.devices import DeviceStreams, find_device, list_devices
from inference.realtime.loopback import N_BURSTS, SECONDS, LoopbackProbe
from inference.realtime.session import LiveSession
from modules.common.errors import ConfigError, DeviceError
from tests.inference.realtime.fake_portaudio import Card, FakePortAudio
from tests.inference.realtime.test_session import PassThrough

RATE = 44100


@pytest.fixture
def world(monkeypatch):
    cards = (
        Card("USB Microphone", inputs=1),
        Card("Phones", outputs=2),
        Card("USB Interface", inputs=2, outputs=2, rates=(96000.0,), rate=96000.0),
    )
    fake = FakePortAudio(*cards)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_devices_are_found_by_number_and_by_name(world):
    assert [device.number for device in list_devices("input")] == [0, 2]
    assert find_device("input", None).name == "USB Microphone"
    assert find_device("output", "2").name == "USB Interface"
    assert find_device("input", "micro").number == 0
    assert str(find_device("output", None)) == "*  1  Phones (Virtual), 2 channels, 48000 Hz"


@pytest.mark.parametrize(
    ("kind", "wanted", "message"),
    [
        ("input", "usb", "several are called like the sound input 'usb'; there are: 0 'USB Microphone', 2"),
        ("input", "1", "there is no sound input '1'; there are: 0"),
        ("output", "radio", "there is no sound output 'radio'; there are: 1 'Phones', 2"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(world, kind, wanted, message):
    with pytest.raises(DeviceError, match=message.replace("(", r"\(")):
        find_device(kind, wanted)


def test_no_device_at_all(world):
    world.cards.clear()
    with pytest.raises(DeviceError, match="there is no sound input on this computer"):
        find_device("input", None)


def test_no_library_says_what_to_install(monkeypatch):
    def missing(error):
        def load(name, *args, **kwargs):
            if name == "sounddevice":
                raise error
            return real(name, *args, **kwargs)

        return load

    real = builtins.__import__
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    for error, message in (
        (ImportError(), "pip install -r requirements-live.txt"),
        (OSError(), "apt install libportaudio2"),
    ):
        monkeypatch.setattr(builtins, "__import__", missing(error))
        with pytest.raises(DeviceError, match=message):
            list_devices("input")


def test_a_device_in_use_is_one_sentence_and_nothing_stays_open(world):
    streams = DeviceStreams(find_device("input", "0"), find_device("output", "1"))
    world.cards[0].busy = True
    rates = streams.rates(RATE)
    with pytest.raises(DeviceError, match="'USB Microphone' cannot be opened at 44100 Hz.*may be using it"):
        streams.open(LiveSession(PassThrough(world), *rates), rates)
    assert not any(stream.running for stream in world.opened)


def test_a_rate_that_the_card_lacks_is_replaced_by_its_own(world):
    streams = DeviceStreams(find_device("input", "2"), find_device("output", "1"))
    assert streams.rates(RATE) == (96000, 44100)


def test_exclusive_use_is_for_wasapi(world):
    streams = DeviceStreams(find_device("input", "0"), find_device("output", "1"), exclusive=True)
    with pytest.raises(ConfigError, match="--exclusive is for WASAPI devices"):
        streams.open(LiveSession(PassThrough(world), RATE, RATE), (RATE, RATE))


def loop(world, wire):
    """Measure the latency where the phones' sound reaches the microphone ``wire`` s later."""
    microphone, phones = world.cards[:2]

    def sound(times):
        audio = np.zeros(len(times), np.float32)
        for first, played in phones.played[-12:]:
            places = np.round((times - wire - first) * RATE).astype(int)
            inside = (places >= 0) & (places < len(played))
            audio[inside] = played[places[inside]]
        return audio + np.random.default_rng(0).normal(0, 0.01, len(times)).astype(np.float32)

    microphone.sound = sound
    streams = DeviceStreams(find_device("input", "0"), find_device("output", "1"))
    probe, rates = LoopbackProbe(PassThrough(world)), streams.rates(RATE)
    session = LiveSession(probe, *rates, clock=world.clock)
    streams.open(session, rates)
    world.run(SECONDS, session.pump)
    return probe, session


def test_the_measured_latency_is_that_of_the_loop(world):
    probe, session = loop(world, wire=0.030)
    found = probe.result()
    assert found.found == N_BURSTS and found.spread < 0.001
    # from callback to callback, and the wire with what a callback lasts
    assert found.latency == pytest.approx(session.latency + 0.030, abs=0.012)
    shorter = loop(world, wire=0.020)[0].result()
    assert found.latency - shorter.latency == pytest.approx(0.010, abs=0.001)


def test_a_loop_that_is_not_one_says_what_to_connect(world):
    world.cards[0].sound = lambda times: np.random.default_rng(1).normal(0, 0.1, len(times))
    streams = DeviceStreams(find_device("input", "0"), find_device("output", "1"))
    probe = LoopbackProbe(PassThrough(world))
    session = LiveSession(probe, RATE, RATE, clock=world.clock)
    streams.open(session, (RATE, RATE))
    world.run(SECONDS, session.pump)
    with pytest.raises(DeviceError, match="connect the output with the input"):
        probe.result()
