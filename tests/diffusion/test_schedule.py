import math

import numpy as np
import pytest

from diffusion.schedule import FlowSchedule, NoiseSchedule


@pytest.mark.parametrize("n_steps", [1, 2, 100, 1000])
def test_linear_betas(n_steps):
    schedule = NoiseSchedule.linear(n_steps)
    assert schedule.n_steps == n_steps and schedule.betas[0] == 1e-4
    assert n_steps == 1 or schedule.betas[-1] == 0.02
    for t in range(n_steps):
        assert schedule.alpha(t) ** 2 == pytest.approx(schedule.alphas_cumprod[t], rel=1e-12)
        assert schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2 == pytest.approx(1, abs=1e-14)


def test_float64_keeps_the_tail_and_times_between_steps_are_linear_in_log_alpha():
    exact = math.fsum(math.log1p(-b) for b in np.linspace(1e-4, 0.02, 1000).tolist())
    assert 2 * NoiseSchedule.linear(1000).log_alpha(999) == pytest.approx(exact, rel=1e-13)
    schedule, part = NoiseSchedule.linear(100), NoiseSchedule.linear(100).first(30)
    middle = (schedule.log_alpha(41) + schedule.log_alpha(42)) / 2
    assert schedule.log_alpha(41.5) == pytest.approx(middle, rel=1e-12)
    assert schedule.half_log_snr(41.5) == pytest.approx(math.log(schedule.alpha(41.5) / schedule.sigma(41.5)))
    assert part.n_steps == 30 and part.log_alpha(29) == schedule.log_alpha(29)


def test_the_posterior_is_bayes():
    schedule, t = NoiseSchedule.linear(100), 57
    clean, noised, deviation = schedule.posterior(t)
    # two Gaussian facts about step t - 1: its prior given the clean mel, and the noise that step t adds
    before, step = schedule.alphas_cumprod[t - 1], 1 - schedule.betas[t]
    precision = 1 / (1 - before) + step / (1 - step)
    assert deviation**2 == pytest.approx(1 / precision, rel=1e-12)
    assert clean == pytest.approx(math.sqrt(before) / (1 - before) / precision, rel=1e-9)
    assert noised == pytest.approx(math.sqrt(step) / (1 - step) / precision, rel=1e-9)
    # the last step draws nothing and gives the clean mel
    assert NoiseSchedule.linear(10).posterior(0) == (pytest.approx(1), 0, 0)


def test_the_straight_path_starts_where_k_step_says():
    assert FlowSchedule(1000, 1000).grid(4) == (0, 0.25, 0.5, 0.75, 1)
    assert FlowSchedule(1000, 100).start == pytest.approx(0.9)
