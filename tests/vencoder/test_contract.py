"""What holds for every speech encoder in the table, whatever is inside."""

from pathlib import Path

import pytest
import torch

from modules.errors import ConfigError, GlowSVCError
from tests.golden_cases import voice
from vencoder import ENCODERS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=list(ENCODERS))
def name(request):
    weights = ENCODERS[request.param].weights
    if weights is not None and not (ROOT / "pretrain" / weights).exists():
        pytest.skip(f"pretrain/{weights} is missing")
    return request.param


@pytest.fixture(scope="module")
def encoder(name):
    return ENCODERS.build(name, "cpu")


@pytest.fixture(scope="module")
def audio():
    return torch.from_numpy(voice(2.0, 16000))


def test_units_have_the_size_that_the_table_says(name, encoder, audio):
    units = encoder.encode(audio)
    assert (encoder.sampling_rate, encoder.hop_length) == (16000, 320)
    assert units.dtype == torch.float32
    assert units.shape[0] == ENCODERS[name].ssl_dim
    # HuBERT's convolutions eat the last one
    assert 99 <= units.shape[1] <= 101
    assert torch.isfinite(units).all()
    assert not units.requires_grad


@pytest.mark.parametrize("n_samples", [1, 2, 159, 160, 319, 320, 399, 400, 401, 641])
def test_short_clips_are_padded(encoder, audio, n_samples):
    units = encoder.encode(audio[:n_samples])
    assert 1 <= units.shape[1] <= 2
    assert torch.isfinite(units).all()


def test_every_second_counts_however_long_the_clip(encoder, audio):
    units = encoder.encode(audio.repeat(16))  # 32 s
    assert abs(units.shape[1] - 1600) <= 1
    assert units[:, -100:].std() > 0.1 * units.std()


def test_equal_audio_gives_equal_units_and_stays_as_it_was(encoder, audio):
    before, state = audio.clone(), torch.get_rng_state()
    assert torch.equal(encoder.encode(audio), encoder.encode(audio))
    assert torch.equal(before, audio)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_any_float_type(encoder, audio, dtype):
    units = encoder.encode(audio.to(dtype))
    assert units.dtype == torch.float32
    assert (units - encoder.encode(audio)).abs().mean() < 0.05 * units.abs().mean()


def test_silence_is_no_error(encoder):
    assert torch.isfinite(encoder.encode(torch.zeros(16000))).all()


@pytest.mark.parametrize("shape", [(2, 16000), (16000, 2), (1, 16000), (0,)])
def test_anything_but_mono_audio_is_refused(encoder, shape):
    with pytest.raises(GlowSVCError, match="mono"):
        encoder.encode(torch.zeros(shape))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match="mfcc"):
        ENCODERS.build("hubert", "cpu")
