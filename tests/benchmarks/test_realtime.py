"""The tables of live conversion, on a tiny voice."""

import soundfile

from benchmarks.realtime import __main__ as tables
from benchmarks.realtime import joins, settings, trackers
from tests.inference.tiny import RATE, write_model
from tests.support.golden_cases import voice


def test_the_tables_are_printed(tmp_path, monkeypatch, capsys):
    model, _ = write_model(tmp_path / "voice")
    soundfile.write(tmp_path / "song.wav", voice(0.7, RATE), RATE)
    monkeypatch.setattr(settings, "SETTINGS", ({"context": 200, "unit_context": 400},))
    monkeypatch.setattr(joins, "_SECONDS", 1.4)
    monkeypatch.setattr(joins, "_SETTLED", 0.3)
    monkeypatch.setattr(joins, "SETTINGS", ({"context": 200, "unit_context": 400},))
    monkeypatch.setattr(trackers, "TRACKERS", ("pm",))
    monkeypatch.setattr(trackers, "WINDOWS", 2)
    chosen = ["--only", "settings", "joins", "trackers"]
    tables.main(["-m", str(model), "--song", str(tmp_path / "song.wav"), *chosen])
    shown = capsys.readouterr().out
    assert "| the whole file | – | – |" in shown and "| context 200, unit_context 400 | 70 ms |" in shown
    assert "| legato |" in shown and "| pm |" in shown
