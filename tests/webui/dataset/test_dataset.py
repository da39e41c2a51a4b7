import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from modules.common.errors import AudioError, ConfigError
from synthetic_voice import SINGERS, compose, sing
from webui.dataset.picture import draw_dataset
from webui.dataset.recordings import PROBLEMS, Recording, analyse_recordings, percentiles, summarize
from webui.dataset.tab import Reports, folders, problem_rows, read_excerpt, speaker_rows
from webui.language import in_language
from webui.texts import TEXTS

RATE = 16000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """One recording of each kind, and a good one whose pitch is known."""
    folder = tmp_path_factory.mktemp("my data 数据") / "dataset_raw" / "花子 <b>"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.standard_normal(RATE).astype(np.float32)
    performance = sing(compose(SINGERS["sofia"], 4.0, 7), SINGERS["sofia"], seed=7)
    soundfile.write(folder / "good.wav", performance.audio, 44100)
    soundfile.write(folder / "clipped.wav", np.sign(np.sin(np.arange(RATE) / 20)), RATE)
    soundfile.write(folder / "long.flac", np.tile(noise, 16), RATE)
    soundfile.write(folder / "short.wav", noise[: RATE // 5], RATE)
    soundfile.write(folder / "silent.wav", 0 * noise, RATE)
    soundfile.write(folder / "stereo.wav", np.stack([noise, noise], 1), RATE)
    soundfile.write(folder / "none.wav", noise[:0], RATE)
    (folder / "text.wav").write_text("no sound")
    (folder / "empty.wav").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def clips(recordings):
    paths = [(recordings.name, path) for path in sorted(recordings.iterdir())]
    found = [*analyse_recordings(paths[:4]), *analyse_recordings(paths[4:])]  # in one process each
    return {recording.path.name: recording for recording in found}


def test_each_problem_is_found(clips):
    found = {name: clip.problems for name, clip in clips.items()}
    assert found == {
        "good.wav": [],
        "clipped.wav": ["clipped"],
        "long.flac": ["too long"],
        "short.wav": ["too short"],
        "silent.wav": ["silent"],
        "stereo.wav": ["stereo"],
        "none.wav": ["silent", "too short"],
        "text.wav": ["unreadable"],
        "empty.wav": ["unreadable"],
    }
    assert "empty.wav is empty (0 bytes)" in clips["empty.wav"].reason


def test_the_range_is_the_singer_s(clips):
    performance = sing(compose(SINGERS["sofia"], 4.0, 7), SINGERS["sofia"], seed=7)
    f0 = performance.f0_at(np.arange(300) * 512 / 44100)
    found = percentiles(clips["good.wav"].pitches)
    assert found is not None
    true = np.percentile(f0[f0 > 0], [5, 50, 95])
    # bins of 20 cents, and a predictor that is unsure at the ends of notes
    np.testing.assert_allclose(found, true, rtol=0.05)


def test_speakers_are_summarized(clips):
    (voice,) = summarize(list(clips.values()))
    assert voice.clips == 7 and voice.problems["unreadable"] == 2 and voice.seconds[2] == 16.0
    assert set(voice.problems) == set(PROBLEMS)
    assert summarize([clips["text.wav"]])[0].f0 is None
    for language in (0, 1):
        say = {key: both[language] for key, both in TEXTS.items()}.__getitem__
        row = speaker_rows([voice], say)[0]
        assert row[0] == "花子 <b>" and f"2 {say('dataset.problem.unreadable')}" in row[-1]
        lines = problem_rows(clips, {}, say)
        assert len(lines) == 8 and lines[0][1].startswith(say("dataset.problem.unreadable"))
        assert problem_rows({}, {"a.m4a": "format"}, say) == [["a.m4a", say("dataset.ignored.format")]]


def test_names_in_pictures_are_escaped(clips):
    say = in_language(None)
    picture = draw_dataset(list(clips.values()), summarize(list(clips.values())), say)
    assert "花子 &lt;b&gt;" in picture and "<b>" not in picture
    assert picture.count("<svg") == 2
    assert draw_dataset([clips["text.wav"]], summarize([clips["text.wav"]]), say).count("<svg") == 0


def test_only_recordings_in_the_project_are_played(recordings):
    root = recordings.parents[1]
    name = recordings.relative_to(root).as_posix()
    rate, audio = read_excerpt(root, f"{name}/stereo.wav")
    assert rate == RATE and audio.shape == (RATE,) and audio.dtype == np.int16
    with pytest.raises(AudioError, match="cannot be read as sound"):
        read_excerpt(root, f"{name}/text.wav")
    for other in ("/etc/passwd", "../x.wav", "dataset_raw/../../x.wav", "", "report.json"):
        with pytest.raises(ConfigError):
            read_excerpt(root, other)


def test_a_report_lists_ignored_files(tmp_path):
    folder = tmp_path / "dataset_raw/a"
    folder.mkdir(parents=True)
    noise = 0.05 * np.random.default_rng(0).standard_normal(RATE)
    soundfile.write(folder / "a.wav", noise, RATE)
    (folder / "b.m4a").write_bytes(b"x")
    (folder / os.fsdecode(b"\x8c.wav")).write_bytes(b"x")
    (folder.parent / "c.wav").write_bytes(b"x")
    request = page("one", "zh")
    *_, (progress, audible, summary, *_, problems, _, _) = Reports(tmp_path).report("dataset_raw", request)
    say = in_language(request)
    assert progress == "" and audible == ["dataset_raw/a/a.wav"]
    assert say("dataset.fine") not in summary.value
    assert problems.value["data"] == [
        ["dataset_raw/c.wav", say("dataset.ignored.loose")],
        [r"dataset_raw/a/\udc8c.wav", say("dataset.ignored.name")],
        ["dataset_raw/a/b.m4a", say("dataset.ignored.format")],
    ]


def test_a_report_is_cancelled_by_its_page_and_by_the_button(recordings, endless):
    reports = Reports(recordings.parents[1])
    running = reports.report("dataset_raw", page("one"))
    until(lambda: " / 9 · " in next(running)[0])
    waiting = reports.report("dataset_raw", page("two"))
    assert "waiting for 1 other job" in next(waiting)[0]

    running.close()  # as Gradio does when a page is closed
    until(lambda: endless.ended == 1)
    until(lambda: " / 9 · " in next(waiting)[0])

    reports.cancel(page("one"))  # it has no job now
    assert " / 9 · " in next(waiting)[0]
    reports.cancel(page("two"))
    *_, (progress, *rest) = waiting
    assert progress == f"<p>{TEXTS['dataset.cancelled'][0]}</p>" and all("value" not in part for part in rest)
    until(lambda: endless.ended == 2)


@pytest.fixture
def endless(monkeypatch):
    """Make an analysis endless after its first recording; counts those that were cancelled."""
    count = SimpleNamespace(ended=0)
    over = threading.Event()

    def some(recordings):
        try:
            while not over.wait(0.01):
                yield Recording(recordings[0][1], recordings[0][0])
        finally:
            count.ended += 1

    monkeypatch.setattr("webui.dataset.tab.analyse_recordings", some)
    yield count
    over.set()


def page(name, language="en"):
    return SimpleNamespace(session_hash=name, cookies={"glow_svc_language": language})


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it tasks too long"


def test_folders_are_those_of_the_scripts(tmp_path):
    assert folders(tmp_path) == ["dataset_raw"]
    (tmp_path / "dataset_raw").mkdir()
    (tmp_path / "dataset/44k").mkdir(parents=True)
    assert folders(tmp_path) == ["dataset_raw", "dataset/44k"]
