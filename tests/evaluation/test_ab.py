import base64
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from evaluation.ab import find_pairs, folder_names, write_ab
from modules.common.errors import AudioError
from modules.dsp.audio import read_audio, write_audio
from modules.dsp.loudness import integrated_loudness
from tests.support.golden_cases import voice

RATE = 44100
NAMES = ["歌 1", "b", "c", "d"]


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """The second sings an octave higher and louder."""
    one, two = tmp_path / "旧", tmp_path / "new"
    for name in NAMES:
        write_audio(one / f"{name}.wav", 0.1 * voice(0.5, RATE, 200.0), RATE)
        write_audio(two / f"{name}.flac", 0.5 * voice(0.5, RATE, 400.0), RATE)
    write_audio(one / "only here.wav", voice(0.1, RATE), RATE)
    return one, two


def write(folders, output: Path, seed: int = 0) -> tuple[str, dict]:
    page = write_ab(find_pairs(*folders), folder_names(*folders), output, seed)
    text = page.read_text(encoding="utf-8")
    return text, json.loads(base64.b64decode(re.search(r'atob\("([^"]+)"\)', text)[1]))


def test_the_page_hides_the_names_of_equally_loud_sounds_in_an_order_of_the_seed(folders, tmp_path):
    text, key = write(folders, tmp_path / "ab")
    for name in ("旧", "new", "歌 1", "http"):
        assert name not in text.replace("new Blob", "").replace("new TextDecoder", "")
    assert key["names"] == ["旧", "new"] and sorted(t["title"] for t in key["trials"]) == sorted(NAMES)
    files = sorted(path.name for path in (tmp_path / "ab/ab_sounds").iterdir())
    assert files == [f"{n:03d}{side}.flac" for n in (1, 2, 3, 4) for side in "ab"]
    for trial in key["trials"]:
        loudness = []
        for way, sound in zip(trial["order"], trial["sounds"], strict=True):
            audio, rate = read_audio(tmp_path / "ab" / sound)
            spectrum = np.abs(np.fft.rfft(audio))
            spectrum[:50] = 0
            lowest = np.flatnonzero(spectrum > 0.2 * spectrum.max())[0] * rate / len(audio)
            assert (lowest > 300) == (way == 1), (trial, lowest)
            loudness.append(integrated_loudness(audio, rate))
        assert loudness[0] == pytest.approx(loudness[1], abs=0.1)
    trials = [write(folders, tmp_path, seed)[1]["trials"] for seed in range(6)]
    assert write(folders, tmp_path, 0)[1]["trials"] == trials[0]
    assert len({str(one) for one in trials}) > 3
    assert all(sum(trial["order"][0] for trial in one) == 2 for one in trials)


def test_folders_without_pairs_are_refused_and_folders_of_one_name_are_called_by_their_paths(
    folders, tmp_path
):
    with pytest.raises(AudioError, match="nowhere is not a folder"):
        find_pairs(folders[0], tmp_path / "nowhere")
    write_audio(folders[1] / "b.wav", voice(0.1, RATE), RATE)
    with pytest.raises(AudioError, match="holds both b.flac and b.wav"):
        find_pairs(*folders)
    same = tmp_path / "a/x", tmp_path / "b/x"
    assert folder_names(*same) == (str(same[0]), str(same[1]))


LISTENER = """<script>
at("choose-a").click();                                          // taken back
at("back").click();
for (const trial of trials.slice(0, 3)) {                        // always prefers the second way
  document.dispatchEvent(new KeyboardEvent("keydown", { key: trial.order[0] === 1 ? "1" : "2" }));
}
at("choose-none").click();
at("choose-a").click();                                          // too late
document.body.dataset.found = JSON.stringify({ ...result(), hidden: at("trial").hidden, csv: csv() });
</script></body>"""


def test_a_consistent_listener_is_counted(folders, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("there is no chromium")
    text, key = write(folders, tmp_path)
    (tmp_path / "listened.html").write_text(text.replace("</body>", LISTENER), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    flags.append(f"--user-data-dir={tmp_path / 'profile'}")
    done = subprocess.run(
        [browser, *flags, (tmp_path / "listened.html").as_uri()], capture_output=True, text=True, timeout=60
    )
    dom = done.stdout
    found = json.loads(html.unescape(re.search(r'data-found="([^"]+)"', dom)[1]))
    assert found["votes"] == [0, 3] and found["no_difference"] == 1 and found["hidden"]
    assert found["probability"] == 0.25  # three coins, all on one side
    assert [row["pair"] for row in found["answers"]] == [trial["title"] for trial in key["trials"]]
    assert found["csv"].splitlines()[0] == "pair,a,b,preferred" and found["csv"].count("\n") == 5
    assert "旧: 0, new: 3, no difference: 1. Probability by chance: 0.250." in dom
