from typing import Any

import numpy as np
import pytest

from inference.speaker_mix import SpeakerMix
from modules.common.errors import ConfigError
from tests.support.golden_cases import load_case
from tests.test_layout import ROOT

GOLDEN = load_case("spk_mix")
SPK = {"anna": 0, "花子": 1, "bob": 2}
ALONE, ABSENT = [[0, 1, 1, 1]], [[0, 1, 0, 0]]
ALL: dict[Any, Any] = dict.fromkeys(range(3), ALONE)
# what the arrays of the golden show
TRACKS = {
    "constant_2_1_1": {0: [[0, 1, 2, 2]], 1: ALONE, 2: ALONE},
    "unused": {0: ALONE, 1: ABSENT, 2: ABSENT},
    "all_zero": dict.fromkeys(range(3), ABSENT),
    "zero_half": {0: [[0, 0.5, 1, 1], [0.5, 1, 0, 0]], 1: ABSENT, 2: ABSENT},
    "ramp_down": {0: [[0, 1, 1, 0]], 1: [[0, 1, 0, 1]], 2: ABSENT},
}


@pytest.mark.parametrize(
    "name",
    ["example_2s", "example_7p3s", "example_B", "example_7p3s_clip2_lg05", "example_7p3s_clip05", *TRACKS],
)
def test_golden(name):
    tracks = TRACKS.get(name, GOLDEN.manifest["config"]["example"])
    want = GOLDEN[name].T
    shares = SpeakerMix(tracks, SPK).shares(0, len(want), len(want))
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares, want, rtol=0, atol=GOLDEN.manifest["tolerance"]["atol"])


def test_every_frame_has_a_sum_of_1_slices_are_parts_of_the_song_and_beyond_it_its_ends_are_held():
    mix = SpeakerMix(GOLDEN.manifest["config"]["example"], SPK)
    for total in (1, 2, 3, 7, 1000, 1001):
        whole = mix.shares(0, total, total)
        np.testing.assert_allclose(whole.sum(1), 1, rtol=1e-6)
        np.testing.assert_array_equal(
            mix.shares(total // 3, total // 2, total), whole[total // 3 :][: total // 2]
        )
    assert mix.shares(5, 0, 10).shape == (0, 3)
    mix = SpeakerMix({0: [[0, 1, 1, 0]], 1: [[0, 1, 0, 1]], 2: ABSENT}, SPK)
    shares = mix.shares(-3, 16, 10)
    assert shares[:3].tolist() == [[1, 0, 0]] * 3
    np.testing.assert_array_equal(shares[13:], shares[12][None].repeat(3, 0))
    assert mix.shares(-2, 4, 0).shape == (4, 3)  # a song shorter than a frame


def test_one_speaker_is_that_speaker_and_values_may_be_very_large_or_small():
    for track in (ALONE, ABSENT, [[0, 0.5, 3, 0], [0.5, 1, 0, 0]]):
        assert SpeakerMix({0: track}, {"anna": 0}).shares(0, 5, 5).tolist() == [[1.0]] * 5
    assert SpeakerMix({0: ALONE}, {}).shares(0, 2, 2).tolist() == [[1.0], [1.0]]
    mix = SpeakerMix({0: [[0, 1, 1e308, 1e308]], 1: [[0, 1, 1e308, 1e308]], 2: ABSENT}, SPK)
    assert mix.shares(0, 1, 1).tolist() == [[0.5, 0.5, 0]]
    mix = SpeakerMix({0: [[0, 1, 1e-320, 1e-320]], 1: ABSENT, 2: ABSENT}, SPK)
    assert mix.shares(0, 1, 1).tolist() == [[1, 0, 0]]


def test_speakers_go_by_id_or_name_and_those_without_a_name_get_no_share():
    tracks = {"花子": [[0, 1, 3, 3]], "0": ALONE, 4: ABSENT}
    mix = SpeakerMix(tracks, {"anna": 0, "花子": 1, "bob": 4}, n_speakers=6)
    assert mix.shares(0, 1, 1).tolist() == [[0.25, 0.75, 0, 0, 0, 0]]
    silent = SpeakerMix(dict.fromkeys((0, 1, 4), ABSENT), {"anna": 0, "花子": 1, "bob": 4}, n_speakers=6)
    np.testing.assert_allclose(silent.shares(0, 1, 1), [[1 / 3, 1 / 3, 0, 0, 1 / 3, 0]])
    assert SpeakerMix({"1": ALONE, 0: ABSENT}, {}, n_speakers=2).shares(0, 1, 1).tolist() == [[0, 1]]
    named = SpeakerMix({"1": ALONE, "x": ABSENT}, {"1": 0, "x": 1})  # a name may be a number
    assert named.shares(0, 1, 1).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ([[0, 0.4, 1, 1], [0.5, 1, 1, 1]], r"2 \[0.5, 1, 1, 1\]: it must start at 0.4, where segment 1 ends"),
        ([[0, 0.6, 1, 1], [0.5, 1, 1, 1]], "segment 2 .*must start at 0.6"),
        ([[0, 1, 1, -0.5]], r"segment 1 \[0, 1, 1, -0.5\]: a value must not be below 0"),
        ([[0, 0.5, 1, 1], [0.5, 0.4, 1, 1]], "segment 2 .*must end after it starts"),
        ([[0.1, 1, 1, 1]], "segment 1 .*first segment must start at 0"),
        ([[0, 0.9, 1, 1]], "segment 1 .*last segment must end at 1"),
        ([[0, 1.5, 1, 1]], "segment 1 .*times are shares of the song"),
        ([[-0.1, 1, 1, 1]], "segment 1 .*times are shares of the song"),
        ([[0, 1, float("nan"), 1]], "segment 1: it must be four numbers"),
        ([[0, 1, 10**400, 1]], "segment 1: it must be four numbers"),
        ([[0, 1, 1]], "segment 1: it must be four numbers"),
        ([[0, 1, 1, "1"]], "segment 1: it must be four numbers"),
        ([[0, 1, 1, True]], "segment 1: it must be four numbers"),
        ([], "has no segments"),
        ([0, 1, 1, 1], "a list of segments, each"),
        ("0, 1, 1, 1", "a list of segments, each"),
    ],
)
def test_each_rule_has_a_message_that_names_the_speaker_and_the_segment(track, message):
    with pytest.raises(ConfigError, match=message) as caught:
        SpeakerMix({0: ALONE, 1: track, 2: ABSENT}, SPK, source="my mix.py")
    assert str(caught.value).startswith("my mix.py: speaker 花子 (1)")
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ({0: ALONE, 1: ALONE}, r"speaker bob \(2\) is not listed.*as 2: \[\[0., 1., 0., 0.\]\]"),
        ({}, r"speaker anna \(0\) is not listed"),
        ({**ALL, 3: ALONE}, r"no speaker 3; it knows speaker anna \(0\), .*bob \(2\)"),
        ({**ALL, "carol": ALONE}, "no speaker 'carol'"),
        ({**ALL, "²": ALONE}, "no speaker"),
        ({**ALL, "9" * 9999: ALONE}, "no speaker '999"),
        ({**ALL, "anna": ALONE}, r"speaker anna \(0\) is listed twice"),
    ],
)
def test_speakers_that_are_missing_unknown_or_there_twice(tracks, message):
    with pytest.raises(ConfigError, match=message):
        SpeakerMix(tracks, SPK)


def write(folder, text, name="my mix 混合.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path):
    return SpeakerMix.from_file(path, {"anna": 0, "花子": 1}).shares(0, 4, 4)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('"""Mine."""\n# a comment\nspk_mix_map = {0: [[0., 1., 1, 0]], "花子": ((0, 1, 0, 1),),}\n', "a.py"),
        ("{0: [[0., 1., 1, 0]], 1: [[0, 1, 0, 1]]}", "a.txt"),
        ('{"anna": [[0, 1, 1, 0]], "1": [[0, 1, 0, 1]]}', "a.json"),
        ('\ufeff{"0": [[0, 1, 1, 0]],\n "\\u82b1\\u5b50": [[0, 1, 0, 1]]}', "a.json"),
        ('{"anna": [[0, 1, 1, 0]], "花子": [[0, 1, 0, 1]]}', "a.json"),
    ],
)
def test_a_file_is_python_syntax_or_json(tmp_path, text, name):
    assert read(write(tmp_path, text, name)).tolist() == [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]


def test_the_file_in_the_root_is_a_mix_of_two_and_others_cannot_be_read(tmp_path):
    assert read(ROOT / "spkmix.py")[[0, 2]].tolist() == [[1, 0], [0.5, 0.5]]
    (tmp_path / "a.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.py").write_bytes(b"spk_mix_map\0")
    for name, message in (
        ("none.py", "does not exist.*--spk_mix_file"),
        (".", "cannot be read"),
        ("a.py", "not text"),
        ("b.py", r"b\.py"),
    ):
        with pytest.raises(ConfigError, match=message):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os\nspk_mix_map = {}", "line 1: it may hold nothing but.*never run"),
        ("spk_mix_map = {0: [[0, 1, 1, 1]]}\nopen('{trace}', 'w')", "line 2: it may hold nothing but"),
        ("spk_mix_map = {0: __import__('os').system('touch {trace}')}", "numbers, names and lists only"),
        ("spk_mix_map = {**{0: [[0, 1, 1, 1]]}}", "line 1: it may hold nothing but"),
        ("spk_mix_map = other = {}", "line 1: it may hold nothing but"),
        ("tracks = {0: [[0, 1, 1, 1]]}", "line 1: it may hold nothing but spk_mix_map"),
        ("spk_mix_map = {0: [[0, 1, x, 1]]}", "numbers, names and lists only"),
        ("spk_mix_map = {0: [[0, 1, 1/3, 1]]}", "numbers, names and lists only"),
        ("spk_mix_map = {0: {[]: 1}}", "numbers, names and lists only"),
        ("spk_mix_map = {}\nspk_mix_map = {}", "more than once"),
        ("", "it is not there"),
        ("spk_mix_map = {0: [[0, 1, 1, 1]", "line 1: "),
        ("[[0, 1, 1, 1]]", "must list a track for each speaker"),
        ("(" * 5000, "line 1|too deeply"),
        ("{0: " + "-" * 90_000 + "1}", "too deeply|line 1"),
        ("[" * 100_000, "line 1|too deeply"),
        ('{"0": ' + "[" * 49_000 + "]" * 49_000 + "}", "line 1|too deeply"),
        ("x" * 1_000_001, "too large"),
        ('{"0": [[0, 1, 1, 1]], "anna": [[0, 1, 0, 0]]}', "listed twice"),
        ('{"0": [[0, 1, 1, 1]], "0": [[0, 1, 0, 0]]}', "listed twice"),
        ("{0: [[0, 1, 1, 1]], 0: [[0, 1, 0, 0]]}", "listed twice"),
        ('{"0": [[0, 1, NaN, 1]]}', "four numbers"),
        ("{0: [[0, 1, " + "9" * 5000 + ", 1]]}", "four numbers|line 1|numbers, names"),
    ],
)
def test_other_content_is_refused_in_one_line_and_never_run(tmp_path, text, message):
    path = write(tmp_path, text.replace("{trace}", str(tmp_path / "trace")))
    with pytest.raises(ConfigError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == [path]
