import csv

import pytest

from training.early_stopping import BestTracker


def rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


@pytest.mark.parametrize("row", [{}, {"val_loss": float("nan")}])
def test_a_validation_without_the_metric_is_never_the_best(path, row):
    tracker = BestTracker(path, "val_loss", 1)
    assert not tracker.update(1, row) and tracker.best is None and tracker.finished


def test_the_table_has_a_row_per_validation_and_new_columns_may_come(path):
    tracker = BestTracker(path, "val_loss", 0)
    tracker.update(800, {"epoch": 3, "val_loss": 1.25})
    tracker.update(1600, {"epoch": 6, "val_loss": 1.0, "f0_accuracy": 0.875})
    assert rows(path) == [
        {"step": "800", "epoch": "3", "val_loss": "1.25", "f0_accuracy": ""},
        {"step": "1600", "epoch": "6", "val_loss": "1", "f0_accuracy": "0.875"},
    ]


def test_a_resumed_run_replaces_the_rows_it_repeats(path):
    first = BestTracker(path, "val_loss", 0)
    for step in (10, 20, 30):
        first.update(step, {"val_loss": 100.0 - step})
        if step == 20:
            saved = first.state()
    again = BestTracker(path, "val_loss", 0)
    again.resume(saved, step=20)
    assert (again.best, again.best_step) == (80.0, 20)
    again.update(30, {"val_loss": 60.0})
    assert [row["val_loss"] for row in rows(path)] == ["90", "80", "60"]


def test_a_table_that_another_program_shows_is_written_later(path, monkeypatch, caplog):
    tracker = BestTracker(path, "val_loss", 0)

    def held(path, text):
        raise PermissionError(13, "in use", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("training.early_stopping.write_text", held)
        tracker.update(1, {"val_loss": 2.0})
    assert "cannot be written now" in caplog.text and not path.exists()
    tracker.update(2, {"val_loss": 1.0})
    assert [row["step"] for row in rows(path)] == ["1", "2"]


def test_a_damaged_table_is_begun_again_and_another_metric_forgets_the_old_best(path):
    path.write_bytes(b"\xff\x00step,\nval")
    tracker = BestTracker(path, "f0_accuracy", 0)
    tracker.resume({"best_by": "val_loss", "best": 1.0, "best_step": 5, "since": 3}, 50)
    assert tracker.best is None and tracker.since == 0
    tracker.update(60, {"val_loss": 1.0})
    assert [row["step"] for row in rows(path)] == ["60"]


def test_patience_ends_a_run_and_overfitting_is_reported_once(path, caplog):
    tracker = BestTracker(path, "val_loss", patience=7)
    tracker.update(1, {"val_loss": 1.0})
    for step in range(2, 9):
        assert not tracker.finished
        tracker.update(step, {"val_loss": 2.0})
    assert tracker.finished
    assert len(caplog.messages) == 1 and "has not improved since step 1" in caplog.messages[0]
    without = BestTracker(path, "val_loss", 0)
    without.resume(tracker.state(), 8)
    assert without.since == 7 and not without.finished
