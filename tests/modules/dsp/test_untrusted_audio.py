"""Sound files whose headers lie or that unfold: one line each, and memory that follows from their size."""

import sys

import numpy as np
import pytest

from inference.source import SourceAudio
from modules.common.errors import AudioError
from modules.dsp.audio import read_audio
from tests.inference.tiny import RATE
from tests.support.fuzzing import ROOM, in_children
from tests.support.sound_files import write_flac, write_mp3, write_wav

NOISE = np.random.default_rng(0).normal(0, 0.1, 10_000)
LYING = {
    "1 Hz": (lambda path: write_wav(path, rate=1), "1 Hz; 4000 to 768000 Hz are read"),
    "2**31 - 1 Hz": (lambda path: write_wav(path, rate=2**31 - 1), "2147483647 Hz"),
    "1000 channels": (lambda path: write_wav(path, channels=1000), "1000 channels"),
    "flac of 2**36 - 1 samples": (
        lambda path: write_flac(path, NOISE, claimed=2**36 - 1),
        "too many for its",
    ),
    "flac of unknown length": (lambda path: write_flac(path, NOISE, claimed=0), "too many for its"),
    "flac of ten times its samples": (lambda path: write_flac(path, NOISE, claimed=100_000), "is damaged"),
    "mp3 of 2**31 frames": (lambda path: write_mp3(path, NOISE, claimed=2**31 - 1), "too many for its"),
    "hours of silence": (
        lambda path: write_flac(path, np.zeros(RATE * 2000, np.int16), RATE),
        "too many for its",
    ),
}


@pytest.mark.parametrize("name", LYING)
def test_what_a_header_claims_must_be_possible(tmp_path, name):
    write, reason = LYING[name]
    path = write(tmp_path / "song.wav")
    for read in (read_audio, lambda path: SourceAudio(path, RATE, tmp_path)):
        with pytest.raises(AudioError, match=reason) as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_raw_samples_are_named(tmp_path):
    path = write_wav(tmp_path / "song.raw")
    with pytest.raises(AudioError, match="raw samples, without a header"):
        read_audio(path)


def test_a_wav_that_claims_more_than_it_has_gives_what_it_has(tmp_path):
    path = write_wav(tmp_path / "song.wav", claimed=2**31)
    assert len(read_audio(path)[0]) == 6000
    path = write_mp3(tmp_path / "song.mp3", NOISE, claimed=100)  # ten times too many: the rest is not there
    assert len(read_audio(path)[0]) < 20_000


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
def test_memory_follows_from_what_is_in_a_file(tmp_path):
    paths = [
        write_wav(tmp_path / "mono.wav", bytes(20_000_000)),
        write_wav(tmp_path / "wide.wav", bytes(64_000_000), channels=64),
        write_flac(tmp_path / "silence.flac", np.zeros(RATE * 200, np.int16), RATE),
    ]

    def both(path):
        read_audio(path)
        with SourceAudio(path, RATE, tmp_path):
            return []

    both(write_wav(tmp_path / "warm.wav"))
    for path, result in zip(paths, in_children(both, paths), strict=True):
        assert result["ended"] == "well"
        assert result["grown"] < 2 * path.stat().st_size + ROOM, path


def test_reading_a_source_can_be_stopped(tmp_path):
    def stop():
        raise KeyboardInterrupt

    path = write_wav(tmp_path / "song.wav", bytes(2_000_000))
    with pytest.raises(KeyboardInterrupt):
        SourceAudio(path, RATE, tmp_path, report=stop)
