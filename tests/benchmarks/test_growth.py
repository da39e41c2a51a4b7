"""The benchmark of growth runs, on very few clips."""

import pytest

from benchmarks.growth import curves, data_set
from benchmarks.growth.__main__ import MEASURES, main


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_the_exponent_is_that_of_the_power_law(power):
    sizes = [100, 1000, 10_000]
    costs = [0.3 * size**power for size in sizes]
    assert curves.exponent(sizes, costs, "s") == pytest.approx(power, abs=1e-9)
    # what cannot be measured does not grow
    assert curves.exponent(sizes, [0.0, 1e-9, 1e-6], "s") == pytest.approx(0)


def test_a_small_data_set_goes_through_every_step(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data_set, "isolated", lambda work, *args: work(*args))
    monkeypatch.setattr(data_set, "CLIPS", 9)
    monkeypatch.setattr(data_set, "_LINKS", 4)
    monkeypatch.setitem(MEASURES, "speakers", (data_set.measure_speakers, (1, 3), ()))
    picture = tmp_path / "growth.png"
    main(["--only", "speakers", "--picture", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    header, _, *rows = (line.strip("| ").split(" | ") for line in lines if line.startswith("|"))
    assert header == ["speakers", "1", "3", "exponent", "of the last step"]
    assert [row[0] for row in rows] == [
        "step 2: lists",
        "step 3: nothing to do, and report",
        "step 4: check",
        "loader",
        "F0 range",
        "batches of an epoch",
    ]
    assert picture.read_bytes().startswith(b"\x89PNG")
