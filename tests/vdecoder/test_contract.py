"""What holds for every vocoder in the table, whatever is inside."""

from pathlib import Path

import numpy as np
import pytest
import pyworld
import torch

from modules.config import DataConfig
from modules.errors import ConfigError, GlowSVCError
from modules.mel import LogMel
from tests.golden_cases import voice
from vdecoder import VOCODERS

ROOT = Path(__file__).parents[2]
DATA = DataConfig()
N = 86


@pytest.fixture(scope="module", params=list(VOCODERS))
def vocoder(request):
    weights = VOCODERS[request.param].weights
    if weights is not None and not (ROOT / "pretrain" / weights).exists():
        pytest.skip(f"pretrain/{weights} is missing")
    return VOCODERS.build(request.param, DATA, "cpu")


@pytest.fixture(scope="module")
def inputs():
    """A second of a voice that glides from 220 to 440 Hz and back, with one noise burst."""
    audio = torch.from_numpy(voice(1.0, 44100, 220.0))[: N * DATA.hop_length]
    time = np.arange(N) * DATA.hop_length / DATA.sampling_rate
    f0 = 220.0 * 2.0 ** (0.5 + 0.5 * np.sin(np.pi * time))
    uv = time % 0.5 < 0.45
    mel = LogMel.from_config(DATA)(audio[None])[0]
    return mel, torch.from_numpy(f0).float(), torch.from_numpy(uv).float()


def test_one_hop_of_sound_per_frame(vocoder, inputs):
    audio = vocoder.synthesize(*inputs)
    assert audio.shape == (N * DATA.hop_length,)
    assert audio.dtype == torch.float32
    assert torch.isfinite(audio).all()
    assert 0.02 < audio.square().mean().sqrt() < 0.3


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 5])
def test_a_few_frames_are_enough(vocoder, inputs, n_frames):
    audio = vocoder.synthesize(*(track[..., :n_frames] for track in inputs))
    assert audio.shape == (n_frames * DATA.hop_length,)
    assert torch.isfinite(audio).all()


def test_the_pitch_is_the_one_asked_for(vocoder, inputs):
    audio = vocoder.synthesize(*inputs).double().numpy()
    heard, times = pyworld.harvest(audio, DATA.sampling_rate, 100.0, 800.0)
    wanted = 220.0 * 2.0 ** (0.5 + 0.5 * np.sin(np.pi * times))
    steady = (times % 0.5 > 0.05) & (times % 0.5 < 0.4) & (times < 0.95)
    cents = 1200 * np.log2(heard[steady] / wanted[steady])
    # a hop of delay would be 20 cents here where the glide is steepest
    assert np.abs(cents).max() < 15


def test_nothing_voiced(vocoder, inputs):
    mel = inputs[0]
    for f0 in (torch.zeros(N), inputs[1]):
        audio = vocoder.synthesize(mel, f0, torch.zeros(N))
        assert torch.isfinite(audio).all() and audio.abs().max() > 0.01


def test_equal_inputs_give_equal_sound_and_stay_as_they_were(vocoder, inputs):
    before, state = [track.clone() for track in inputs], torch.get_rng_state()
    first, second = vocoder.synthesize(*inputs), vocoder.synthesize(*inputs)
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state()), "the global generator belongs to the caller"
    assert all(torch.equal(a, b) for a, b in zip(before, inputs, strict=True))


@pytest.mark.parametrize("track", [0, 1])
def test_numbers_that_are_none_are_refused(vocoder, inputs, track):
    broken = [tensor.clone() for tensor in inputs]
    broken[track][..., 7] = torch.nan
    with pytest.raises(GlowSVCError, match="NaN"):
        vocoder.synthesize(*broken)


def test_tracks_of_different_lengths_are_refused(vocoder, inputs):
    mel, f0, uv = inputs
    with pytest.raises(GlowSVCError, match="frames"):
        vocoder.synthesize(mel, f0[:-1], uv)
    with pytest.raises(GlowSVCError, match="128"):
        vocoder.synthesize(mel[:80], f0, uv)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match="world"):
        VOCODERS.build("griffin-lim", DATA, "cpu")
