"""The benchmark of retrieval runs, on a very small data set."""

import numpy as np
import pytest

from benchmarks import retrieval
from benchmarks.measure import isolated


def test_synthetic_units_have_near_neighbours_and_another_singer_is_farther_away():
    same, shifted = retrieval.synthetic_units(500, 32, 0), retrieval.synthetic_units(500, 32, 1, shift=0.5)
    np.testing.assert_array_equal(same, retrieval.synthetic_units(500, 32, 0))
    assert same.dtype == np.float32 and same.shape == (500, 32)
    own = np.concatenate([retrieval.synthetic_units(500, 32, 2 + seed) for seed in range(20)])
    near, far = (
        np.sqrt(((frames[::10, None] - own) ** 2).sum(2).min(1)).mean() for frames in (same, shifted)
    )
    assert near < far < 0.7 * np.sqrt(((own[:1000] - own[5000:6000]) ** 2).sum(1)).mean()


def test_a_small_run_prints_its_tables_and_draws(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(retrieval, "isolated", lambda work, *args: work(*args))
    monkeypatch.setattr("cluster.index_builder.N_CENTRES", 200)
    monkeypatch.setattr(retrieval, "MINUTE", 1000)
    picture = tmp_path / "retrieval.png"
    retrieval.main(["--sizes", "500", "1000", "--dims", "8", "--reduce", "--plot", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert [row[0] for row in rows[1:4]] == ["| 500", "| 1,000", "| 1,000 → 200"]
    assert [row[0] for row in rows[5:]] == ["| all vectors", "| all, 1 list searched", "| 10 000 centres"]
    assert 0.7 < float(rows[5][1]) <= 1.0 and float(rows[7][1]) < 0.1
    assert picture.stat().st_size > 5000
    with pytest.raises(SystemExit):
        retrieval.main(["--help"])
    assert "--sizes" in capsys.readouterr().out


def test_a_step_may_run_in_a_process_of_its_own(tmp_path):
    isolated(retrieval.write_units, tmp_path / "singer", 20, 4)
    assert len(list((tmp_path / "singer").glob("*.soft.pt"))) == 1
