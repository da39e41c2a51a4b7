"""Converting with a pitch from files: edits are heard, and what is left at its default changes nothing."""

from dataclasses import replace

import numpy as np
import pytest

from inference.conversion import PitchFiles
from inference.converter import Converter
from inference.pitch.files import read_f0, write_f0
from inference.stitch import PitchTrack
from modules.common.errors import ConfigError
from modules.dsp.f0 import transpose
from tests.inference.tiny import RATE, read, write_song, write_voice
from tests.support.golden_cases import voice

FRAMES = RATE / 512


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return Converter(write_voice(tmp_path_factory.mktemp("voice")))


@pytest.fixture
def converter(loaded):
    options = loaded.options
    yield loaded
    loaded.options = options


@pytest.fixture
def song(tmp_path):
    return write_song(tmp_path / "song.wav", voice(1.5, RATE))


def test_what_is_written_can_be_read_and_an_edit_is_sung(converter, song, tmp_path):
    file = tmp_path / "song.f0.csv"
    first = converter.convert(song, tmp_path / "a.wav", "anna", pitch=PitchFiles(write_f0=file))
    np.testing.assert_array_equal(read_f0(file, len(first.sung), FRAMES), first.sung)
    again = converter.convert(song, tmp_path / "b.wav", "anna", pitch=PitchFiles(f0=file))
    np.testing.assert_array_equal(again.sung, first.sung)
    # only the padding beyond the song's ends was tracked otherwise
    np.testing.assert_allclose(read(again.path), read(first.path), atol=0.02)
    write_f0(file, transpose(first.sung, 12), FRAMES)
    higher = converter.convert(song, tmp_path / "c.wav", "anna", pitch=PitchFiles(f0=file))
    transposed = converter.convert(song, tmp_path / "d.wav", "anna", key=12)
    np.testing.assert_allclose(read(higher.path), read(transposed.path), atol=0.02)
    np.testing.assert_allclose(higher.sung, 2 * first.sung)


def test_what_a_file_leaves_out_is_tracked(converter, song, tmp_path):
    whole = converter.convert(song, tmp_path / "a.wav", "anna").sung
    (tmp_path / "part.csv").write_text("0.5,150\n0.55,150\n0.6,150\n")
    sung = converter.convert(
        song, tmp_path / "b.wav", "anna", pitch=PitchFiles(f0=tmp_path / "part.csv")
    ).sung
    changed = np.flatnonzero(sung != whole) / FRAMES
    assert changed.min() > 0.44 and changed.max() < 0.66
    assert set(sung[round(0.5 * FRAMES) : round(0.6 * FRAMES)]) == {150}


def test_one_slice_is_rendered_as_in_the_song(converter, song, tmp_path):
    """What an editor does after a change: the slice alone, with a curve of the whole song."""
    curve = np.full(round(1.5 * FRAMES), 220, np.float32)
    whole = read(converter.convert(song, tmp_path / "a.wav", "anna", curve=curve).path)
    with converter.open_song(song, tmp_path) as source:
        (chunk,) = converter.plan(source)
        track = PitchTrack(len(curve))
        alone = converter.render(source, chunk, converter.target("anna"), 0.0, track, sung=curve)
        tracked = converter.track_pitch(source, [chunk], np.full(len(curve), np.nan))
    scale = np.abs(whole).max() / max(np.abs(alone).max(), 1e-9)
    np.testing.assert_allclose(whole, alone * scale, atol=2e-3)  # 16 bit, and no clipping
    np.testing.assert_array_equal(tracked, converter.convert(song, tmp_path / "b.wav", "anna").sung)


def test_the_key_is_chosen_for_the_voice_and_needs_its_range(converter, tmp_path):
    low = write_song(tmp_path / "low.wav", voice(1.5, RATE))
    result = converter.convert(low, tmp_path / "a.wav", "anna", key="auto")
    expected = converter.convert(low, tmp_path / "b.wav", "anna", key=result.key)
    assert result.choice.semitones == result.key and result.advice is None
    assert "anna was trained on 275–600 Hz around 440" in result.choice.reason("anna")
    np.testing.assert_allclose(read(result.path), read(expected.path), atol=0.02)
    with pytest.raises(ConfigError, match="-t auto: the model's configuration has no f0_range for 花子"):
        converter.convert(low, tmp_path / "a.wav", "花子", key="auto")


def test_a_preview_is_the_part_with_the_singing_at_its_place_in_the_song(converter, tmp_path):
    rest = np.zeros(3 * RATE, np.float32)
    song = write_song(tmp_path / "song.wav", np.concatenate([rest, voice(2, RATE), rest]))
    converter.options = replace(converter.options, preview=2.0)
    written = PitchFiles(write_f0=tmp_path / "part.csv")
    result = converter.convert(song, tmp_path / "a.wav", "anna", pitch=written)
    known = ~np.isnan(read_f0(tmp_path / "part.csv", round(8 * FRAMES), FRAMES))
    assert known.sum() == pytest.approx(2 * FRAMES, abs=10)  # only what was converted
    assert result.seconds == 2 and len(read(result.path)) == 2 * RATE
    assert result.start == pytest.approx(3, abs=0.6) and len(result.f0) == pytest.approx(2 * FRAMES, abs=2)
    converter.options = replace(converter.options, preview=60.0)
    assert converter.convert(song, tmp_path / "b.wav", "anna").seconds == 8


@pytest.mark.parametrize("autotune", [0.0, 1.0])
def test_autotune_moves_notes_and_0_nothing(converter, song, tmp_path, autotune):
    plain = converter.convert(song, tmp_path / "a.wav", "anna")
    converter.options = replace(converter.options, autotune=autotune)
    tuned = converter.convert(song, tmp_path / "b.wav", "anna")
    assert np.array_equal(read(plain.path), read(tuned.path)) == (autotune == 0)
    np.testing.assert_array_equal(plain.f0, tuned.f0)  # the source's own
    np.testing.assert_array_equal(plain.sung > 0, tuned.sung > 0)
