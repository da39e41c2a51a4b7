"""Scores: the timeline follows from the notes, and invalid notes are refused; folders of data sets."""

from typing import Any

import numpy as np
import pytest
import soundfile

from modules.common.errors import ConfigError
from synthetic_voice import SINGERS, MusicScore, Note, Syllable, compose, sing, write_dataset
from synthetic_voice.compose import SHORTEST_SONG
from synthetic_voice.dataset import clip_lengths
from synthetic_voice.phones import CONSONANTS, PHONES, VOWELS, spoken

LA, TA, SUN = Syllable(("l",), "a"), Syllable(("t",), "a"), Syllable(("s",), "u", ("n",))


def test_phones_follow_from_the_notes():
    cases: list[tuple[list[Any], float, str]] = [
        ([(0.5, 1.0, LA), (1.0, 2.0, None)], 2.0, "sil l a"),  # a melisma holds the vowel
        ([(0.2, 1.0, LA), (1.3, 3.5, LA)], 4.0, "sil l a sil l a sil"),
        ([(0.2, 1.0, LA), (1.8, 3.5, LA)], 4.0, "sil l a sil breath sil l a sil"),
        ([(0.0, 1.0, LA)], 1.0, "a"),  # no room for a consonant
        ([], 1.5, "sil"),
    ]
    for notes, seconds, phones in cases:
        score = MusicScore(tuple(Note(start, end, 60, sung) for start, end, sung in notes), seconds)
        assert " ".join(phone.name for phone in score.phones) == phones and score.phones[-1].end == seconds


def test_consonants_precede_the_beat_and_half_of_a_quick_note_stays_vowel():
    score = MusicScore((Note(0.5, 1.0, 60, LA), Note(1.0, 2.0, 62, TA)), 2.5)
    starts = {phone.name: phone.start for phone in score.phones}
    assert [phone.start for phone in score.phones if phone.name == "a"] == [0.5, 1.0]
    assert starts["l"] == pytest.approx(0.5 - PHONES["l"].seconds)
    assert starts["tcl"] == pytest.approx(1.0 - PHONES["t"].seconds - PHONES["tcl"].seconds)
    vowel = MusicScore((Note(0.5, 0.7, 60, SUN), Note(0.7, 1.2, 60, SUN)), 2.0).phones[2]
    assert vowel.end - vowel.start == pytest.approx(0.1)


@pytest.mark.parametrize("singer", SINGERS.values(), ids=SINGERS)
def test_songs_tile_the_clip_in_range(singer):
    for seed in range(6):
        score = compose(singer, 20.0, seed)
        assert score.phones[0].start == 0 and score.phones[-1].end == score.seconds == 20.0
        for left, right in zip(score.phones[:-1], score.phones[1:], strict=True):
            assert left.start < left.end == right.start
        assert all(singer.low <= note.pitch <= singer.high for note in score.notes)
        for phrase in score.phrases:
            assert 2 <= phrase[-1].end - phrase[0].start <= 8
        vowels = sum(phone.end - phone.start for phone in score.phones if phone.name in VOWELS)
        assert vowels > 0.5 * score.seconds


def test_songs_use_every_sound_depend_on_their_seed_and_have_notes_when_short():
    used = {phone.name for seed in range(40) for phone in compose("noor", 20, seed).phones}
    assert used == set(PHONES)
    assert {name for consonant in CONSONANTS for name in spoken(consonant)} < used
    assert compose("kit", 12, 5) == compose("kit", 12, 5) != compose("kit", 12, 6)
    for seconds in (1.0, 1.7, 2.5, 4.0):
        assert all(compose("bruno", seconds, seed).notes for seed in range(20))


def test_transposing_keeps_the_timeline():
    score = compose("tomas", 10, 1)
    higher = score.transposed(7.5)
    assert higher.phones == score.phones
    moved = np.array([note.pitch for note in higher.notes]) - [note.pitch for note in score.notes]
    assert np.all(moved == 7.5)
    with pytest.raises(ConfigError, match="pitch"):
        score.transposed(40)


def test_invalid_arguments_and_impossible_notes_are_refused():
    for seconds in (-3.0, 0.0, float("nan"), float("inf"), SHORTEST_SONG / 2):
        with pytest.raises(ConfigError, match=r"clip|short"):
            compose("tomas", seconds)
    for arguments, message in (
        ({"singer": "caruso"}, "unknown singer 'caruso'.*bruno"),
        ({"singer": "kit", "style": "caruso"}, "unknown singer 'caruso'"),
        ({"singer": "kit", "seed": -2}, "seed -2"),
        ({"singer": "kit", "sampling_rate": 4000}, "4000 Hz"),
    ):
        with pytest.raises(ConfigError, match=message):
            sing(MusicScore((), 1.0), **arguments)
    for notes, message in [
        ([Note(0.0, 1.0, 60, LA), Note(0.5, 1.5, 60, LA)], "note 2 .*overlaps"),
        ([Note(1.0, 3.0, 60, LA)], "leaves the 2 s clip"),
        ([Note(-0.5, 1.0, 60, LA)], "note 1"),
        ([Note(1.0, 1.0, 60, LA)], "note 1"),
        ([Note(0.5, 1.0, float("nan"), LA)], "pitch nan"),
        ([Note(0.5, 1.0, 60, None)], "no syllable"),
        ([Note(0.2, 0.8, 60, LA), Note(1.0, 1.5, 60, None)], "no syllable"),
        ([Note(0.5, 1.0, 60, Syllable(("q",), "a"))], "unknown sounds"),
        ([Note(0.5, 1.0, 60, Syllable((), "m"))], "unknown sounds"),
    ]:
        with pytest.raises(ConfigError, match=message):
            MusicScore(tuple(notes), 2.0)


@pytest.mark.parametrize("seconds", [10.5, 14.0, 180.0])
def test_clips_are_4_to_10_s_and_add_up(seconds):
    for seed in range(10):
        lengths = clip_lengths(seconds, seed)
        assert sum(lengths) == pytest.approx(seconds)
        assert all(4 <= length <= 10 for length in lengths)


def test_one_folder_per_singer_which_depends_on_the_seed(tmp_path):
    paths = list(write_dataset(tmp_path, ["tomas", "kit"], 11.0, seed=1))
    lengths = clip_lengths(11.0, 1)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"{name}/{number:02d}.wav" for name in ("tomas", "kit") for number in range(1, len(lengths) + 1)
    ]
    assert sorted(tmp_path.rglob("*")) == sorted({*paths, *(path.parent for path in paths)})
    for path, length in zip(paths, lengths * 2, strict=True):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (44100, 1, "PCM_16")
        assert info.frames == round(length * 44100)
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        list(write_dataset(tmp_path / folder, ["noor"], 4, seed))
    one, again, other = ((tmp_path / folder / "noor" / "01.wav").read_bytes() for folder in "abc")
    assert one == again != other


def test_invalid_arguments_are_refused_before_anything_is_written(tmp_path):
    for singers, seconds, seed in ((["caruso"], 10, 0), (["kit"], -1, 0), (["kit"], 10, -1)):
        with pytest.raises(ConfigError):
            write_dataset(tmp_path / "new", singers, seconds, seed)
    assert not (tmp_path / "new").exists()
