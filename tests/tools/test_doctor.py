"""The report on an installation: complete, without personal paths, and with its problems marked."""

from pathlib import Path

import pytest

import doctor


def test_the_report_tells_all_works_and_names_no_path(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "anna"))
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    doctor.main(["-d", "cpu"])
    shown = capsys.readouterr().out
    for title in ("system:", "packages:", "devices:", "weights:", "conversion:"):
        assert f"\n{title}" in f"\n{shown}"
    assert "torch " in shown and "  1 s in " in shown and "on cpu" in shown
    assert str(Path.home()) not in shown and str(tmp_path) not in shown and str(doctor.ROOT) not in shown


def test_problems_are_marked_and_the_exit_code_tells(capsys, monkeypatch):
    versions = {"numpy": "1.0", "mido": None}
    real = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: versions.get(name, real(name)))
    assert doctor.main(["--quick"]) == 1
    shown = capsys.readouterr().out
    assert "! numpy 1.0 is outside >=2.2,<3: pip install -r requirements.txt" in shown
    assert "! mido is missing" in shown and "conversion:" not in shown


def test_requirement_files_are_followed():
    found = dict(doctor.requirements(doctor.ROOT / "requirements.txt"))
    assert found["numpy"] == ">=2.2,<3" and "torch" in found
    own = dict(doctor.requirements(doctor.ROOT / "requirements-live.txt", follow=False))
    assert "sounddevice" in own and "numpy" not in own


@pytest.mark.parametrize("place", ["ROOT/inference", "HOME/music"])
def test_paths_are_shortened(place):
    text = place.replace("ROOT", str(doctor.ROOT)).replace("HOME", str(Path.home()))
    assert doctor.without_paths(f"in {text}").startswith(("in ./", "in ~/"))
