"""One battery for all samplers, also for a new line in the table."""

import itertools
import math

import numpy as np
import pytest
import torch

from diffusion.samplers import SAMPLERS, methods
from diffusion.samplers.base import time_grid, visits
from diffusion.schedule import FlowSchedule, NoiseSchedule
from tests.diffusion.tiny import MELS, mels, song, tiny

NAMES = list(SAMPLERS)
STEADY = [name for name in NAMES if not SAMPLERS[name].stochastic]
# normally distributed mels: the predictions of an ideal network are known, and so is the solution
MEAN, DEVIATION = 0.2, 0.15


class Gaussian:
    """An ideal network for normally distributed mels, and the exact solution."""

    def __init__(self, schedule):
        self.schedule = schedule

    def _scales(self, t):
        if isinstance(self.schedule, FlowSchedule):
            return t, 1 - t
        return self.schedule.alpha(t), self.schedule.sigma(t)

    def _deviation(self, t):
        alpha, sigma = self._scales(t)
        return math.hypot(alpha * DEVIATION, sigma)

    def predict(self, x, t):
        alpha, sigma = self._scales(t)
        standard = (x - alpha * MEAN) / self._deviation(t) ** 2
        if isinstance(self.schedule, FlowSchedule):
            return MEAN + (alpha * DEVIATION**2 - sigma) * standard
        return sigma * standard

    def solution(self, x):
        """Solution of the ordinary differential equation from the start ``x``."""
        flow = isinstance(self.schedule, FlowSchedule)
        start, end = (self.schedule.start, 1.0) if flow else (self.schedule.n_steps - 1, 0)
        mean = self._scales(end)[0] * MEAN
        return mean + self._deviation(end) / self._deviation(start) * (x - self._scales(start)[0] * MEAN)


def schedule_of(name, n_steps, k_step):
    """The last ``k_step`` of ``n_steps`` steps."""
    if SAMPLERS[name].model_type == "ReFlow":
        return FlowSchedule(n_steps, k_step)
    return NoiseSchedule.linear(n_steps).first(k_step)


def whole_path(name, n_steps=1001):
    """A schedule from nearly no mel to nearly no noise."""
    return schedule_of(name, n_steps, n_steps)


def no_noise(x):
    raise AssertionError("this sampler is deterministic")


def run(name, schedule, speedup, x, draw=no_noise):
    """Sample; the network must have been evaluated at the sampler's times."""
    sampler, problem, evaluated = SAMPLERS.build(name, schedule, speedup), Gaussian(schedule), []

    def predict(x, t):
        evaluated.append(t)
        return problem.predict(x, t)

    out = sampler.sample(predict, x, draw)
    assert tuple(evaluated) == sampler.times
    assert out.dtype == x.dtype and out.shape == x.shape and out.isfinite().all()
    return out


def states(dtype=torch.float64):
    return torch.linspace(-2, 2, 9, dtype=dtype).reshape(1, 3, 3)


@pytest.mark.parametrize("name", STEADY)
def test_the_error_falls_with_the_order_one_step_stays_in_range_and_speedup_bounds_the_steps(name):
    spec = SAMPLERS[name]
    schedule: FlowSchedule | NoiseSchedule
    if spec.model_type == "ReFlow":
        schedule = FlowSchedule(6400, 3200)
    else:  # smooth, and ending at some noise: the last step of the real one is never short
        schedule = NoiseSchedule(np.append(0.3, np.full(3200, 1e-3)))
    x = states()
    want = Gaussian(schedule).solution(x)
    few, many = (
        (run(name, schedule, 3200 // (strides * spec.cost), x) - want).abs().max() for strides in (40, 80)
    )
    assert math.log2(few / many) > spec.order - 0.25
    assert many < 0.02
    schedule = whole_path(name)
    error = (run(name, schedule, 2, x) - Gaussian(schedule).solution(x)).abs().max()
    assert error < 0.01  # a first-order method in 500 steps
    assert run(name, schedule, 1001, x).abs().max() < 1
    for speedup in (10, 30, 100, 300):
        evaluations = len(SAMPLERS.build(name, whole_path(name, 1000), speedup).times)
        # ddim and pndm visit the last step whether or not speedup divides; pndm evaluates twice at first
        assert 1 <= evaluations <= max(1000 // speedup + 1, spec.cost)


@pytest.mark.parametrize("name", NAMES)
def test_noise_becomes_mels_of_the_right_distribution(name):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 20000, dtype=torch.float64, generator=generator)
    out = run(
        name, whole_path(name), 1, x, lambda x: torch.randn(x.shape, dtype=x.dtype, generator=generator)
    )
    # of 20000 draws: the standard error of the mean is 0.001, that of the deviation 0.5 %
    assert out.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert out.std().item() == pytest.approx(DEVIATION, rel=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_steps_and_any_speedup(name):
    start = states(torch.float32)
    for k_step in (2, 3, 4, 7, 50):
        schedule = schedule_of(name, 1000, k_step if SAMPLERS[name].model_type != "ReFlow" else 20 * k_step)
        want = Gaussian(schedule).solution(start)
        for speedup in (1, 2, 3, k_step - 1, k_step, 10 * k_step):
            out = run(name, schedule, speedup, start, torch.zeros_like)
            if name in STEADY:  # even one long stride is hardly worse than none
                assert (out - want).abs().mean() < (start - want).abs().mean() + 0.05


def test_steps_are_visited_as_published():
    assert visits(50, 10) == (40, 30, 20, 10, 0)
    assert visits(50, 7) == (49, 42, 35, 28, 21, 14, 7, 0)
    assert visits(5, 10) == (4, 0) and visits(1, 10) == (0,)
    assert time_grid(50, 10) == pytest.approx((49, 39.2, 29.4, 19.6, 9.8, 0))
    assert time_grid(5, 10) == (4, 0) and time_grid(1, 10) == (0,)
    assert FlowSchedule(1000, 1000).grid(4) == (0, 0.25, 0.5, 0.75, 1)
    assert FlowSchedule(1000, 100).start == pytest.approx(0.9)


def model_of(name, **sizes):
    return tiny(type=SAMPLERS[name].model_type, **sizes)


def options_of(name, speedup=4):
    if SAMPLERS[name].selectable:
        return {"method": name, "speedup": speedup}
    return {"speedup": 1}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_mel_at_any_precision_and_the_global_generator_is_left_alone(name):
    model = model_of(name)
    state = torch.get_rng_state()
    first = model.infer(*song(), **options_of(name))
    torch.testing.assert_close(model.infer(*song(), **options_of(name)), first, atol=1e-4, rtol=1e-5)
    assert torch.equal(torch.get_rng_state(), state)
    seeded = [
        model.infer(*song(), generator=torch.Generator().manual_seed(seed), **options_of(name))
        for seed in (5, 5, 6)
    ]
    torch.testing.assert_close(seeded[0], seeded[1], atol=1e-4, rtol=1e-5)
    assert (seeded[0] - seeded[2]).abs().mean() > 0.1
    out = model.infer(*song(1, 1), **options_of(name))
    assert out.shape == (1, MELS, 1) and out.isfinite().all()
    double = model.double().infer(*song(dtype=torch.float64), **options_of(name))
    assert double.dtype == torch.float64
    torch.testing.assert_close(first.double(), double, atol=1e-3, rtol=1e-3)  # float32 against float64


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_items_one_by_one(name):
    model = model_of(name)
    noise = torch.randn(2, MELS, 11, generator=torch.Generator().manual_seed(3))
    options = {"method": methods(model.config.model.type)[0]} | options_of(name)

    def sample(items, shallow):
        return model.decoder.sample(
            model.embed(*(track[items] for track in song())),
            noise=noise[items],
            draw=lambda x: noise[items] * 0.5,
            mel=mels()[items] if shallow else None,
            k_step=13 if shallow else None,
            **options,
        )

    for shallow in (False, True):
        both = sample(slice(0, 2), shallow)
        for i in range(2):
            # float32, other blocks of the matrix products
            one = sample(slice(i, i + 1), shallow)
            torch.testing.assert_close(both[i : i + 1], one, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_shallow_sampling_takes_any_k_step_and_a_smaller_one_stays_nearer_to_the_mel(name):
    model = model_of(name)
    for k_step, speedup in itertools.product((1, 2, 3, 40), (0, 1, 3, 40, 100)):
        seen: list[tuple[int, int]] = []
        options = options_of(name, speedup) | {"progress": lambda *done, seen=seen: seen.append(done)}
        out = model.infer(*song(), mel=mels(), k_step=k_step, **options)
        assert out.shape == (2, MELS, 11) and out.isfinite().all()
        assert seen == [(i + 1, len(seen)) for i in range(len(seen))] and seen
    model = model_of(name, timesteps=1000)
    near, far = (
        (model.infer(*song(), mel=mels(), k_step=k_step, **options_of(name, 5)) - mels()).abs().mean()
        for k_step in (10, 600)
    )
    assert near < 1.0 < far  # natural log


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_samples_what_a_cpu_does(name):
    model = model_of(name)
    want = model.infer(*song(), **options_of(name))
    out = model.cuda().infer(*(track.cuda() for track in song()), **options_of(name))
    assert out.is_cuda
    torch.testing.assert_close(out.cpu(), want, atol=1e-2, rtol=1e-2)  # TF32


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
