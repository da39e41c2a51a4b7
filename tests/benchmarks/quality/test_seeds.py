"""Scores of files, and the table of several seeds with intervals."""

import math
import sys

import numpy as np
import pytest

from benchmarks.quality import seeds
from benchmarks.quality.scoring import HOP, RATE, FileScorer, SourceFile
from benchmarks.quality.seeds import interval
from evaluation.resynthesis import resynthesis
from modules.common.files import write_json
from modules.dsp.audio import write_audio
from synthetic_voice import compose, sing


def test_the_interval_is_students():
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2.0 and half == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert interval([1.0, math.nan, 1.0]) == (1.0, 0.0)
    for values in ([0.5], [0.5, math.nan]):
        mean, half = interval(values)
        assert mean == 0.5 and math.isnan(half)
    assert all(map(math.isnan, interval([])))


def test_a_file_is_compared_with_the_known_melody_in_its_key(tmp_path):
    song = sing(compose("noor", 3.0, 1), "noor", 1, RATE)
    f0 = song.f0_at(np.arange(len(song.audio) // HOP) * HOP / RATE)
    write_audio(tmp_path / "歌.wav", song.audio, RATE)
    source = SourceFile(tmp_path / "歌.wav", f0=f0)
    higher = resynthesis(song.audio, f0, (f0 > 0).astype(np.float32), 4.0, RATE, HOP)
    write_audio(tmp_path / "result.wav", higher, RATE)
    scorer = FileScorer([], names=("melody",))
    score = scorer.score(tmp_path / "result.wav", source, 4.0)["f0_accuracy"]
    assert score.value > 0.9 and score.value == pytest.approx(score.reference, abs=0.01)  # 16 bit
    assert scorer.score(tmp_path / "result.wav", source, 0.0)["f0_accuracy"].value < 0.1


def test_finished_parts_are_not_made_again_and_give_the_table(tmp_path, monkeypatch, capsys):
    def part(voice, seed, group, scores):
        write_json(tmp_path / f"work/judged/{voice}-{seed}/{group}.json", scores)

    for voice, worse in (("after training", 0.0), ("at once", 0.1)):
        for seed, step in ((0, 0.0), (1, 0.02)):
            similarity = {"similarity_target": [0.7 + step - worse, 0.5], "similarity_source": [0.6, None]}
            song = {**similarity, "dnsmos_ovrl": [3.2, 3.1], "distillmos": [None, None]}
            part(voice, seed, "songs", {"a": {**song, "f0_accuracy": [0.9, 0.8]}})
            part(voice, seed, "synthetic", {"ivan": {**song, "f0_accuracy": [0.99, 0.98]}})
            sentences = {
                name: {**song, "word_error": [wrong + step, 0.1]} for name, wrong in (("0", 0.2), ("1", 0.4))
            }
            part(voice, seed, "en", sentences)
            part(voice, seed, "zh", sentences)
    command = ["seeds", str(tmp_path / "work"), "--recordings", "nowhere", "--songs", "gone.wav", "--instant"]
    monkeypatch.setattr(sys, "argv", [*command, "--spoken", "en=nowhere", "zh=nowhere", "--seeds", "2"])
    seeds.main()
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split(" | ")[0].removeprefix("| "): line.strip("| ").split(" | ")[1:] for line in lines}
    half = 12.706 * 0.01  # Student's t of two seeds, 0.02 apart
    assert rows["2 seeds, mean ± 95 %"] == ["reference", "after training", "at once"]
    assert rows["words wrong, spoken en"] == ["0.100", f"0.310 ± {half:.3f}", f"0.310 ± {half:.3f}"]
    assert rows["characters wrong, spoken zh"] == rows["words wrong, spoken en"]
    assert rows["similarity to the voice, songs"] == ["0.500", f"0.710 ± {half:.3f}", f"0.610 ± {half:.3f}"]
    assert rows["similarity to the voice, synthetic singers"] == rows["similarity to the voice, songs"]
    assert rows["similarity to the source, songs"][1:] == ["0.600 ± 0.000"] * 2
    assert rows["F0 within 50 cents, songs"] == ["0.800 (WORLD)", *["0.900 ± 0.000"] * 2]
    assert rows["true F0 within 50 cents, synthetic singers"][1] == "0.990 ± 0.000"
    assert "DistillMOS, speech" not in rows  # nothing was measured
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--protect", "0"])
    with pytest.raises(SystemExit, match="made with --protect 0.33"):
        seeds.main()
