import pytest

from modules.config import TrainConfig
from training.budget import Budget
from training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves: ``clock[0]`` is the time in seconds."""
    now = [1000.0]
    monkeypatch.setattr("training.budget.perf_counter", lambda: now[0])
    return now


def test_the_first_limit_counts_and_expected_steps_follow_the_pace(clock):
    config = TrainConfig(max_steps=100, epochs=3, batch_size=2)
    progress = Progress()
    budget = Budget(config, n_items=10, n_steps=5, progress=progress, max_minutes=2)
    assert budget.fraction_of_steps() == budget.fraction_of_time() == 0
    progress.step = 20
    clock[0] += 60  # loading and validation count like steps: only the clock is asked
    budget.tick()
    assert (budget.fraction_of_steps(), budget.fraction_of_time()) == (0.2, 0.5)
    progress.epoch, progress.position = 2, 10
    assert budget.fraction_of_steps() == 1 and "all epochs are done (3)" in budget.stop_reason()
    progress.step = 100
    assert "all steps are done (100)" in budget.stop_reason()
    clock[0] += 61
    budget.tick()
    assert budget.fraction_of_time() == 1 and "2 minutes" in budget.stop_reason()
    config = TrainConfig(max_steps=100, epochs=50, batch_size=2)
    assert Budget(config, 10, 5, Progress()).expected_steps() == 100
    assert Budget(TrainConfig(epochs=50), 10, 3, Progress()).expected_steps() == 150
    grown = Budget(config, 10, 5, Progress(step=110, start=90))  # speakers were added at step 90
    assert grown.fraction_of_steps() == 0.2 and grown.expected_steps() == 190
    progress = Progress(step=10, seconds=60.0)
    budget = Budget(config, 10, 5, progress, max_minutes=2)
    assert budget.expected_steps() is None  # no pace yet
    clock[0] += 20
    progress.step += 5
    budget.tick()
    assert budget.expected_steps() == 10 + 15  # 60 s at 4 s a step
    progress.step += 95
    assert budget.expected_steps() == 100
