"""Stages are repeated when what made them changes, and whole or not there."""

import os

import pytest

from inference.cover.cache import StageCache


@pytest.fixture
def cache(tmp_path):
    return StageCache(tmp_path / "cache")


def make(cache, made_by, text="sound", made=None):
    def write(folder):
        (folder / "stem.wav").write_text(text)
        if made is not None:
            made.append(made_by)

    return cache.stage("separate", made_by, ["stem.wav"], write)


def test_a_stage_is_made_once_for_the_same_inputs(cache):
    made: list[object] = []
    first = make(cache, {"song": "a", "key": 0.0}, made=made)
    assert make(cache, {"key": 0.0, "song": "a"}, "other", made) == first
    assert make(cache, {"song": "a", "key": 1.0}, made=made) != first
    assert len(made) == 2 and (first / "stem.wav").read_text() == "sound"


def test_a_stage_that_lacks_a_file_is_made_again(cache):
    folder = make(cache, {"song": "a"})
    (folder / "stem.wav").unlink()
    assert (make(cache, {"song": "a"}, "again") / "stem.wav").read_text() == "again"


def test_a_stage_that_fails_leaves_nothing(cache):
    def fail(folder):
        (folder / "stem.wav").write_text("half")
        raise ValueError

    with pytest.raises(ValueError):
        cache.stage("separate", {}, ["stem.wav"], fail)
    assert list(cache.folder.iterdir()) == []


def test_those_used_longest_ago_go_first(cache):
    folders = [make(cache, {"song": number}) for number in range(3)]
    for age, folder in enumerate(folders):
        os.utime(folder, (1000 - age, 1000 - age))
    make(cache, {"song": 2})  # used again
    cache.trim(len("sound") * 2)
    assert [folder.exists() for folder in folders] == [True, False, True]
