"""The room of a voice is told from how it stops, and the new voice is as loud as the old one."""

import importlib.util

import numpy as np
import pytest
from scipy.signal import fftconvolve

from inference.cover.room import HOP, PLACED, estimate_room, place_voice
from inference.cover.song import StereoFile, write_stereo
from modules.dsp.loudness import integrated_loudness
from separation.base import RATE
from tests.inference.cover.songs import decibels


def bursts(n: int = 12) -> np.ndarray:
    """A whisper that stops ``n`` times."""
    time = np.arange(2 * n * RATE) / RATE
    whisper = 0.1 * np.random.default_rng(1).standard_normal(len(time))
    return (whisper * (time % 2 < 0.8)).astype(np.float32)


def powers(audio: np.ndarray) -> np.ndarray:
    return np.square(audio[: len(audio) // HOP * HOP], dtype=np.float64).reshape(-1, HOP).mean(1)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.8])
def test_reverberation_time(seconds):
    time = np.arange(round(1.5 * seconds * RATE)) / RATE
    walls = np.random.default_rng(0).standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    dry = bursts()
    wet = fftconvolve(dry, walls / np.sqrt(np.square(walls).sum()))[: len(dry)]
    rooms = [estimate_room(powers(dry + 10 ** (level / 20) * wet)) for level in (-6, -14)]
    assert all(room and abs(np.log2(room.seconds / seconds)) < 0.5 for room in rooms)
    assert rooms[0].level > rooms[1].level


def test_what_is_dry_or_never_stops_has_no_room():
    assert estimate_room(powers(bursts())) is None
    assert estimate_room(powers(np.ones(5 * RATE) * 0.1)) is None
    assert estimate_room(np.zeros(500)) is None and estimate_room(np.zeros(0)) is None


def test_as_loud_as_the_original_and_at_its_place(tmp_path):
    original, voice = bursts(3), np.float32(0.05) * bursts(3)[::-1]
    for name, audio in (("original.wav", original), ("voice.wav", voice)):
        write_stereo(tmp_path / name, [audio[:, None]])
    files = StereoFile(tmp_path / "original.wav"), StereoFile(tmp_path / "voice.wav")
    pan = np.array([1.2, 0.75], np.float32)
    place_voice(files[0], pan, files[1], tmp_path, True, lambda done, total: None)
    placed = StereoFile(tmp_path / PLACED)[:]
    np.testing.assert_allclose(placed[:, 0] * 0.75, placed[:, 1] * 1.2, atol=1e-6)
    found = integrated_loudness(placed[:, 0] / 1.2, RATE)
    assert abs(found - integrated_loudness(original, RATE)) < 0.1


def test_the_room_is_heard_in_the_rests(tmp_path):
    if importlib.util.find_spec("pedalboard") is None:
        pytest.skip("needs pedalboard")
    dry = bursts()
    time = np.arange(RATE) / RATE
    walls = np.random.default_rng(0).standard_normal(RATE) * 10 ** (-3 * time)
    wet = fftconvolve(dry, walls / np.sqrt(np.square(walls).sum()))[: len(dry)] * 10 ** (-8 / 20)
    for name, audio in (("original.wav", dry + wet), ("voice.wav", dry)):
        write_stereo(tmp_path / name, [audio[:, None].astype(np.float32)])
    files = StereoFile(tmp_path / "original.wav"), StereoFile(tmp_path / "voice.wav")
    place_voice(files[0], np.ones(2, np.float32), files[1], tmp_path, False, lambda done, total: None)
    placed, rest = StereoFile(tmp_path / PLACED)[:], np.arange(len(dry)) / RATE % 2
    after = decibels(placed[(rest > 0.85) & (rest < 1.1)]) - decibels(
        (dry + wet)[(rest > 0.85) & (rest < 1.1)]
    )
    assert abs(after) < 8
