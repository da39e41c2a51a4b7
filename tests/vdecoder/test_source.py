import numpy as np
import pytest
import torch

from tests.support.golden_cases import load_case
from vdecoder.clock import SONG_START
from vdecoder.draws import N_HARMONICS, initial_phase, source_noise
from vdecoder.source import AMPLITUDE, NOISE, SineSource, harmonics

NO_PHASE = torch.zeros(N_HARMONICS, dtype=torch.float64)


def sines(f0, hop_length, rate=44100, initial=NO_PHASE):
    return torch.cat([part for _, part in harmonics(f0.double(), hop_length, rate, initial)], 1)


def source(weights=1.0, bias=0.0):
    made = SineSource()
    with torch.no_grad():
        made.l_linear.weight.copy_(torch.as_tensor(weights).expand(1, N_HARMONICS))
        made.l_linear.bias.fill_(bias)
    return made


def drawn(made, f0, hop_length):
    noise = source_noise(SONG_START, f0.shape[1], hop_length)[None]
    return made(f0, hop_length, 44100, *map(torch.from_numpy, (initial_phase(SONG_START), noise)))


@pytest.mark.parametrize("name", ["nsf_hifigan", "nsf_snake_hifigan"])
def test_parity_without_drift(name):
    """The published sums drift over twenty seconds, so the probe has the exact phase."""
    case = load_case(name)
    got = sines(torch.from_numpy(case["f0"]), 64)
    np.testing.assert_allclose(got, case["sines_no_noise"], rtol=0, atol=2e-5)
    got = sines(torch.from_numpy(case["long_f0"])[None], 512)[0].numpy()
    probe = case["long_probe_index"].astype(int)
    np.testing.assert_allclose(got[probe], case["long_sines_exact_probe"], rtol=0, atol=1e-5)


def test_two_minutes_without_drift():
    """441.3 Hz for two minutes: the highest harmonic has its exact phase."""
    n_frames, hop = 10400, 512
    *_, (block, last) = harmonics(torch.full((1, n_frames), 441.3, dtype=torch.float64), hop, 44100, NO_PHASE)
    sample = np.arange(block.start * hop, n_frames * hop) + 1
    wanted = AMPLITUDE * np.sin(2 * np.pi * (9 * 4413 * sample % 441000) / 441000)
    np.testing.assert_allclose(last[0, :, 8], wanted, rtol=0, atol=1e-5)


def test_the_initial_phase_is_added_once_and_a_beginning_does_not_depend_on_what_follows():
    f0 = torch.full((1, 3), 220.0)
    quarter = NO_PHASE.clone()
    quarter[1] = 0.25
    first = sines(f0, 512, initial=quarter)[0]
    clock = torch.arange(1, 3 * 512 + 1, dtype=torch.float64) * (440 / 44100)
    wanted = AMPLITUDE * torch.cos(2 * torch.pi * clock)  # a quarter ahead, from the first sample to the last
    torch.testing.assert_close(first[:, 1].double(), wanted, rtol=0, atol=1e-6)
    made, f0 = source(), torch.full((1, 1100), 220.0)

    def draw(n):
        return drawn(made, f0[:, :n], 8)

    assert torch.equal(draw(1100)[:, : 512 * 8], draw(513)[:, : 512 * 8])


def test_noise_has_the_published_deviation():
    """The published source weights nine noises; one, weighted by their norm, is the same."""
    made = source(torch.arange(1.0, 10.0) / 10)
    norm = float(made.l_linear.weight.detach().norm())
    f0 = torch.zeros(1, 600)  # more than a block
    unvoiced = drawn(made, f0, 64).atanh()
    assert abs(float(unvoiced.std()) / (AMPLITUDE / 3 * norm) - 1) < 0.02
    f0 = torch.full((1, 600), 220.0)
    rest = drawn(made, f0, 64)
    initial = torch.from_numpy(initial_phase(SONG_START))
    clean = (sines(f0, 64, initial=initial) @ made.l_linear.weight[0]).detach()
    assert abs(float((rest.atanh() - clean).std()) / (NOISE * norm) - 1) < 0.02


def test_parity_without_random_numbers():
    case = load_case("nsf_hifigan")
    made = SineSource()
    state = case.state_dict()
    made.load_state_dict({name: state[f"m_source.{name}"] for name in made.state_dict()})
    got = made(torch.from_numpy(case["f0"]), 64, 44100)
    np.testing.assert_allclose(got, case["excitation_no_noise"][..., 0], rtol=0, atol=2e-5)
