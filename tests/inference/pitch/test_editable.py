"""A song whose pitch is edited: the same as converting it whole, and only what changed is rendered again."""

from dataclasses import replace

import numpy as np
import pytest

from inference.conversion import PitchFiles
from inference.converter import Converter
from inference.pitch.editable import EditableSong
from inference.pitch.files import write_f0
from modules.common.errors import ConfigError
from tests.inference.pitch.songs import PHRASE, phrases
from tests.inference.tiny import HOP, RATE, read, write_song, write_voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    return write_voice(tmp_path_factory.mktemp("voice"))


@pytest.fixture(scope="module")
def converter(voice):
    return Converter(voice)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", phrases())


@pytest.fixture
def song(converter, voice, path, tmp_path):
    converter.options = voice
    song = EditableSong(converter, path, tmp_path, "anna", 3.0)
    yield song
    song.close()


def whole(converter, path, tmp_path, f0):
    """The song converted at once with the pitch ``f0``, float samples."""
    write_f0(tmp_path / "song.f0.csv", f0, RATE / HOP)
    files = PitchFiles(f0=tmp_path / "song.f0.csv")
    result = converter.convert(path, tmp_path / "whole.wav", "anna", 3.0, subtype="FLOAT", pitch=files)
    return read(result.path)


def test_the_result_is_that_of_converting_the_song_with_the_same_pitch(song, converter, path, tmp_path):
    assert len(song.stale(song.f0)) == 3
    assert song.render(converter, song.f0) == song.stale(np.zeros(0))
    np.testing.assert_array_equal(song.read(0, 10**9), whole(converter, path, tmp_path, song.f0))
    assert song.stale(song.f0) == [] and song.render(converter, song.f0) == []


def test_an_edit_renders_its_slice_and_leaves_the_others_to_the_bit(song, converter, path, tmp_path):
    numbers = song.render(converter, song.f0)
    before = song.read(0, 10**9)
    edited = song.f0.copy()
    middle = round(1.5 * PHRASE * RATE / HOP)
    edited[middle : middle + 40] *= 1.2
    assert song.stale(edited) == [numbers[1]]
    shares: list[float] = []
    assert song.render(converter, edited, shares.append) == [numbers[1]]
    after, chunk = song.read(0, 10**9), song.chunks[numbers[1]]
    changed = np.flatnonzero(after != before)
    assert chunk.start <= changed[0] and changed[-1] < chunk.end and len(changed) > HOP
    end = chunk.end - chunk.fade_out  # in a whole conversion, those that follow begin at another phase
    np.testing.assert_array_equal(after[:end], whole(converter, path, tmp_path, edited)[:end])
    assert shares == sorted(shares) and shares[-1] == 1
    assert song.render(converter, song.f0) == [numbers[1]]  # undone
    np.testing.assert_array_equal(song.read(0, 10**9), before)
    for start, end in ((0, 5), (chunk.start - 7, chunk.start + 3000), (chunk.end - 900, chunk.end + 900)):
        np.testing.assert_array_equal(song.read(start, end), before[start:end])


def test_slices_that_meet_within_a_note_are_rendered_together(converter, voice, path, tmp_path):
    converter.options = replace(voice, clip=2.0)
    song = EditableSong(converter, path, tmp_path, "anna", 3.0)
    try:
        numbers = song.render(converter, song.f0)
        edited = song.f0.copy()
        edited[100:120] *= 1.1  # s 1.2 to 1.4, in the first slice
        again = song.render(converter, edited)
        first_phrase = [n for n in numbers if song.chunks[n].start < PHRASE * RATE - HOP * 45]
        assert again == first_phrase and 2 < len(again) < len(numbers)
        end = song.chunks[again[-1]].end - song.chunks[again[-1]].fade_out
        np.testing.assert_array_equal(song.read(0, end), whole(converter, path, tmp_path, edited)[:end])
    finally:
        song.close()


def test_stopping_in_the_middle_leaves_the_rest_to_do(song, converter):
    def stop(share):
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        song.render(converter, song.f0, stop)
    left = song.stale(song.f0)
    assert 0 < len(left) < 3
    assert song.render(converter, song.f0) == left


def test_the_result_is_written_with_its_tag(song, converter, tmp_path):
    import soundfile

    song.render(converter, song.f0)
    song.write(tmp_path / "result.wav", converter)
    assert soundfile.SoundFile(tmp_path / "result.wav").comment.endswith("speaker anna, key +3")
    assert len(read(tmp_path / "result.wav")) == song.source.n_samples


def test_a_key_is_chosen_as_in_a_conversion(converter, voice, path, tmp_path):
    converter.options = voice
    song = EditableSong(converter, path, tmp_path, "anna", "auto")
    assert song.key == converter.convert(path, tmp_path / "x.wav", "anna", "auto").key
    song.close()


def test_what_cannot_be_edited_is_refused(converter, voice, path, tmp_path):
    converter.options = replace(voice, auto_predict_f0=True)
    with pytest.raises(ConfigError, match="the model chooses the pitch"):
        EditableSong(converter, path, tmp_path, "anna")
    converter.options = voice
    with pytest.raises(ConfigError, match="nobody"):
        EditableSong(converter, path, tmp_path, "nobody")
