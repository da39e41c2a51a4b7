"""The judge of voice mixes, on a song whose voices are known."""

import importlib.util

import matplotlib.image
import numpy as np
import pytest

from benchmarks.quality import mixing
from modules.dsp.audio import write_audio
from synthetic_voice import SINGERS, compose, sing

RATE = 16000


@pytest.mark.skipif(
    importlib.util.find_spec("resemblyzer") is None, reason="needs resemblyzer, see requirements-quality.txt"
)
def test_a_song_that_goes_from_one_voice_to_another_is_seen_to_do_so(tmp_path, capsys):
    parts = {}
    for name in ("bruno", "sofia"):
        singer = SINGERS[name]
        for seed in (1, 2):
            parts[name, seed] = sing(compose(singer, 6.0, seed), singer, seed=seed, sampling_rate=RATE).audio
        write_audio(tmp_path / f"dataset 声/{name}/1.wav", parts[name, 1], RATE)
    song = np.concatenate([parts["bruno", 2], np.zeros(4 * RATE, np.float32), parts["sofia", 2]])
    write_audio(tmp_path / "a song.wav", song, RATE)
    voices = ["--from_voice", f"{tmp_path}/dataset 声/bruno", "--to_voice", f"{tmp_path}/dataset 声/sofia"]
    mixing.main([str(tmp_path / "a song.wav"), *voices, "--window", "2", "--hop", "2"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and line[2].isdigit()]
    times, to_bruno, to_sofia = np.array(rows, float).T
    assert len(times) >= 6 and not ((times > 7.1) & (times < 8.9)).any()  # a rest is not judged
    assert (to_bruno > to_sofia)[times < 6].all() and (to_sofia > to_bruno)[times > 10].all()
    [trend] = [line for line in lines if line.startswith("From start to end")]
    assert "-0." in trend.split(" to bruno")[0] and "+0." in trend.split(" to bruno")[1]
    assert matplotlib.image.imread(tmp_path / "a song_voices.png").shape[:2] == (360, 1000)


def test_windows_lie_where_they_say():
    audio = np.arange(10 * RATE, dtype=np.float32)
    found = mixing.windows(audio, 4.0, 1.5)
    assert [time for time, _ in found] == [2.0, 3.5, 5.0, 6.5, 8.0]
    assert all(len(part) == 4 * RATE and part[0] == (time - 2) * RATE for time, part in found)
    assert mixing.windows(audio, 11.0, 1.0) == []


def test_trends_are_changes_over_the_song():
    seconds = np.array([2.0, 4.0, 8.0])
    curve = mixing.Curve(seconds, 0.8 - 0.05 * seconds, 0.5 + 0.02 * seconds)
    np.testing.assert_allclose(curve.trends(), (-0.3, 0.12), rtol=1e-6)
