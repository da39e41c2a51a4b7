import csv

import pytest

from training.early_stopping import BestTracker


def rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_the_best_is_the_lowest_loss_or_the_highest_accuracy(tmp_path):
    loss = BestTracker(tmp_path / "a.csv", "val_loss", 0)
    assert [loss.update(step, {"val_loss": value}) for step, value in enumerate((3.0, 2.0, 2.0, 1.5), 1)] == [
        True,
        True,
        False,
        True,
    ]
    assert (loss.best, loss.best_step) == (1.5, 4)
    accuracy = BestTracker(tmp_path / "b.csv", "f0_accuracy", 0)
    assert [accuracy.update(step, {"f0_accuracy": v}) for step, v in enumerate((0.5, 0.4, 0.9), 1)] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("numbers", [{}, {"val_loss": float("nan")}])
def test_a_validation_without_the_number_is_never_the_best(tmp_path, numbers):
    tracker = BestTracker(tmp_path / "a.csv", "val_loss", 1)
    assert not tracker.update(1, numbers) and tracker.best is None and tracker.finished


def test_the_table_has_a_row_per_validation_and_new_columns_may_come(tmp_path):
    tracker = BestTracker(tmp_path / "metrics.csv", "val_loss", 0)
    tracker.update(800, {"epoch": 3, "val_loss": 1.25})
    tracker.update(1600, {"epoch": 6, "val_loss": 1.0, "f0_accuracy": 0.875})
    assert rows(tmp_path / "metrics.csv") == [
        {"step": "800", "epoch": "3", "val_loss": "1.25", "f0_accuracy": ""},
        {"step": "1600", "epoch": "6", "val_loss": "1", "f0_accuracy": "0.875"},
    ]


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    path = tmp_path / "metrics.csv"
    first = BestTracker(path, "val_loss", 0)
    for step in (10, 20, 30):
        first.update(step, {"val_loss": 100.0 - step})
        if step == 20:
            saved = first.state()
    again = BestTracker(path, "val_loss", 0, saved, step=20)
    assert (again.best, again.best_step) == (80.0, 20)
    again.update(30, {"val_loss": 60.0})
    assert [(row["step"], row["val_loss"]) for row in rows(path)] == [
        ("10", "90"),
        ("20", "80"),
        ("30", "60"),
    ]


def test_a_table_that_another_program_shows_is_written_later(tmp_path, monkeypatch, caplog):
    tracker = BestTracker(tmp_path / "metrics.csv", "val_loss", 0)

    def held(path, text):
        raise PermissionError(13, "in use", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("training.early_stopping.write_text", held)
        tracker.update(1, {"val_loss": 2.0})
    assert "cannot be written now" in caplog.text and not (tmp_path / "metrics.csv").exists()
    tracker.update(2, {"val_loss": 1.0})
    assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == ["1", "2"]


def test_a_damaged_table_is_begun_anew(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"\xff\x00step,\nval")
    BestTracker(path, "val_loss", 0, step=50).update(60, {"val_loss": 1.0})
    assert [row["step"] for row in rows(path)] == ["60"]


def test_patience_ends_a_run_and_overtraining_is_told_once(tmp_path, caplog):
    tracker = BestTracker(tmp_path / "a.csv", "val_loss", patience=7)
    tracker.update(1, {"val_loss": 1.0})
    for step in range(2, 8):
        tracker.update(step, {"val_loss": 2.0})
        assert not tracker.finished
    tracker.update(8, {"val_loss": 2.0})
    assert tracker.finished
    assert len(caplog.messages) == 1 and "has not improved since step 1" in caplog.messages[0]
    assert not BestTracker(tmp_path / "b.csv", "val_loss", 0, {**tracker.state(), "since": 99}).finished


def test_another_measure_forgets_the_old_best(tmp_path):
    state = {"best_by": "val_loss", "best": 1.0, "best_step": 5, "since": 3}
    tracker = BestTracker(tmp_path / "a.csv", "f0_accuracy", 0, state)
    assert tracker.best is None and tracker.since == 0
