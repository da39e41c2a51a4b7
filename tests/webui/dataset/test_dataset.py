import os
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from modules.common.errors import AudioError, ConfigError
from synthetic_voice import SINGERS, compose, sing
from tests.support.processes import wait_until
from webui.dataset.recordings import PROBLEMS, Recording
from webui.dataset.tab import Reports, folders, read_excerpt
from webui.language import in_language
from webui.texts import TEXTS

RATE = 16000
SUNG = sing(compose(SINGERS["sofia"], 4.0, 7), SINGERS["sofia"], seed=7)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project with a recording of each kind, a good one whose pitch is known, and other files."""
    root = tmp_path_factory.mktemp("my data 数据")
    folder = root / "dataset_raw" / "花子 <b>"
    for speaker in (folder, root / "dataset_raw/sofia", root / "dataset_raw/text", root / "dataset/44k/text"):
        speaker.mkdir(parents=True)
        (speaker / "text.wav").write_text("no sound") if speaker.name == "text" else None
    noise = 0.05 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    soundfile.write(folder.parent / "sofia/good.wav", SUNG.audio, 44100)
    soundfile.write(folder / "clipped.wav", np.sign(np.sin(np.arange(RATE) / 20)), RATE)
    soundfile.write(folder / "long.flac", np.tile(noise, 16), RATE)
    soundfile.write(folder / "short.wav", noise[: RATE // 5], RATE)
    soundfile.write(folder / "silent.wav", 0 * noise, RATE)
    soundfile.write(folder / "stereo.wav", np.stack([noise, noise], 1), RATE)
    soundfile.write(folder / "none.wav", noise[:0], RATE)
    for path in (folder / "b.m4a", folder / os.fsdecode(b"\x8c.wav"), folder.parent / "c.wav"):
        path.write_bytes(b"x")
    return root


def test_a_report_names_every_problem_and_every_speaker(root):
    request = page("one", "zh")
    say = in_language(request)
    *_, values = Reports(root).report("dataset_raw", request)
    progress, playable, summary, picture, speakers, problems, _, _ = values
    assert progress == "" and len(playable) == 7 and say("dataset.fine") not in summary.value
    rows = dict(problems.value["data"])
    ignored = {"花子 <b>/b.m4a": "format", r"花子 <b>/\udc8c.wav": "name", "c.wav": "loose"}
    for name, why in ignored.items():
        assert rows.pop(f"dataset_raw/{name}") == say(f"dataset.ignored.{why}")
    named = {
        name.rpartition("/")[2]: [kind for kind in PROBLEMS if say(f"dataset.problem.{kind}") in row]
        for name, row in rows.items()
    }
    assert named == {
        "text.wav": ["unreadable"],
        "none.wav": ["silent", "too short"],
        "silent.wav": ["silent"],
        "clipped.wav": ["clipped"],
        "short.wav": ["too short"],
        "long.flac": ["too long"],
        "stereo.wav": ["stereo"],
    }
    assert next(iter(named)) == "text.wav"  # the worst
    assert "text.wav cannot be read as sound" in rows["dataset_raw/text/text.wav"]
    for shown in (picture.value, speakers.value):
        assert "花子 &lt;b&gt;" in shown and "<b>" not in shown
    assert picture.value.count("<svg") == 2
    assert f"2 {say('dataset.problem.silent')}" in speakers.value and " / 16.0" in speakers.value

    found = re.search(r">sofia<.*?>(\d+) / (\d+) / (\d+)<", speakers.value)
    assert found is not None
    f0 = SUNG.f0_at(np.arange(300) * 512 / 44100)
    true = np.percentile(f0[f0 > 0], [5, 50, 95])
    # bins of 20 cents, and a predictor that is unsure at the ends of notes
    np.testing.assert_allclose([float(hz) for hz in found.groups()], true, rtol=0.05)

    *_, (_, playable, _, picture, _, _, players, _) = Reports(root).report("dataset/44k", request)
    assert playable == [] and "<svg" not in picture.value and not players.visible


def test_only_recordings_in_the_project_are_played_and_folders_are_those_of_the_scripts(root, tmp_path):
    rate, audio = read_excerpt(root, "dataset_raw/花子 <b>/stereo.wav")
    assert rate == RATE and audio.shape == (RATE,) and audio.dtype == np.int16
    with pytest.raises(AudioError, match="cannot be read as sound"):
        read_excerpt(root, "dataset_raw/text/text.wav")
    for other in ("/etc/passwd", "../x.wav", "dataset_raw/../../x.wav", "", "report.json"):
        with pytest.raises(ConfigError):
            read_excerpt(root, other)
    assert folders(tmp_path) == ["dataset_raw"]
    assert folders(root) == ["dataset_raw", "dataset/44k"]


def test_a_report_is_cancelled_by_its_page_and_by_the_button(root, monkeypatch):
    ended: list[bool] = []

    def endless(recordings):
        try:
            while True:
                time.sleep(0.01)
                yield Recording(recordings[0][1], recordings[0][0])
        finally:
            ended.append(True)

    monkeypatch.setattr("webui.dataset.tab.analyse_recordings", endless)
    reports = Reports(root)
    running = reports.report("dataset_raw", page("one"))
    wait_until(lambda: " / 8 · " in next(running)[0])
    waiting = reports.report("dataset_raw", page("two"))
    assert "waiting for 1 other job" in next(waiting)[0]

    running.close()  # as Gradio does when a page is closed
    wait_until(lambda: len(ended) == 1)
    wait_until(lambda: " / 8 · " in next(waiting)[0])

    reports.pages.cancel(page("one"))  # it has no job now
    assert " / 8 · " in next(waiting)[0]
    reports.pages.cancel(page("two"))
    *_, (progress, *rest) = waiting
    assert progress == f"<p>{TEXTS['common.cancelled'][0]}</p>" and all("value" not in part for part in rest)
    wait_until(lambda: len(ended) == 2)


def page(name, language="en"):
    return SimpleNamespace(session_hash=name, cookies={"glow_svc_language": language})
