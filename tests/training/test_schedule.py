from pathlib import Path

import numpy as np
import pytest

from modules.config import TrainConfig
from tests.support.golden_cases import load_case
from training.progress import progress_of
from training.schedule import learning_rate, noam

GOLDEN = load_case("schedules")


def test_golden_noam_also_where_a_published_checkpoint_continues():
    rates = [noam(int(step), 0.7, 192, 4000) for step in GOLDEN["steps"]]
    np.testing.assert_allclose(rates, GOLDEN["lr"], rtol=1e-6)
    rates = [noam(step, 0.7, 192, 100) for step in range(1, 401)]
    np.testing.assert_allclose(rates, GOLDEN["lr_warm100"], rtol=1e-6)
    done = [progress_of(Path(f"logs/44k/G_{step}.pth"), {}).step for step in (0, 800, 37600)]
    np.testing.assert_allclose([noam(n + 1, 0.7, 192, 4000) for n in done], GOLDEN["resume_lr"], rtol=1e-6)


def test_cosine_rises_falls_and_ends_low_and_step_falls_after_exactly_so_many_steps():
    config = TrainConfig(scheduler="cosine", learning_rate=1e-3, warmup_steps=10, max_steps=100)
    rates = [learning_rate(config, 192, step, (step - 1) / 100) for step in range(1, 101)]
    assert rates[0] == pytest.approx(1e-4, rel=0.01) and np.argmax(rates) in (9, 10)
    assert rates[-1] < 3e-5 and all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))
    # PITFALL 25: the published one is one step late
    config = TrainConfig(scheduler="step", learning_rate=1e-4, decay_step=100, gamma=0.5)
    rates = [learning_rate(config, 1, step, 0.0) for step in (1, 100, 101, 200, 201)]
    assert rates == [1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5]
