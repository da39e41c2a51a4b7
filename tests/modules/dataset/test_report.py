import json

import numpy as np

from modules.dataset.report import as_text, is_clipped, measure, save_report, summarize
from tests.support.golden_cases import voice


def test_measure():
    facts = measure(voice(1.0, 44100), 44100)
    assert facts["seconds"] == 1.0 and -30 < facts["lufs"] < -5 and not facts["clipped"]
    assert measure(np.zeros(44100, np.float32), 44100)["lufs"] is None
    assert is_clipped(np.clip(5 * voice(1.0, 44100), -1, 1)) and not is_clipped(np.zeros(0, np.float32))


def test_a_report_is_json_and_a_table():
    clips: dict[str, list[dict]] = {
        "a": [{"seconds": 60.0 * k, "lufs": -20.0 - k, "clipped": k == 3} for k in (1, 2, 3)],
        "歌手": [{"seconds": 1.0, "lufs": None, "clipped": False}],
        "empty": [],
    }
    report = summarize(clips, ["b.wav is empty"], {"a": [100.0, 200.0, 300.0]}, {"a": 0.75, "歌手": 0.0})
    assert json.loads(json.dumps(report)) == report
    assert report["speakers"]["a"] == {
        "clips": 3,
        "minutes": 6.0,
        "seconds": [60.0, 120.0, 180.0],
        "lufs": -22.0,
        "clipped": 1,
        "f0": [100.0, 200.0, 300.0],
        "voiced": 0.75,
    }
    head, first, second, *rest = as_text(report).splitlines()
    assert "100 / 200 / 300" in first and "75%" in first
    assert first.endswith("  a") and second.endswith("  歌手") and "empty" not in report["speakers"]
    assert rest == ["left out: 1", "  b.wav is empty"]


def test_each_step_keeps_the_parts_of_the_others(tmp_path):
    save_report(tmp_path, "resample", {"n": 1})
    save_report(tmp_path, "features", {"n": 2})
    path = save_report(tmp_path, "resample", {"n": 3})
    assert json.loads(path.read_text()) == {"resample": {"n": 3}, "features": {"n": 2}}
    path.write_text("[broken")
    assert json.loads(save_report(tmp_path, "features", {}).read_text()) == {"features": {}}
