"""What holds for every vocoder in the table.

Where the published weights are missing, a small network with untrained weights
is used, in the published container: all tests hold for it but those of the sound.
"""

import json
from functools import partial

import numpy as np
import pytest
import pyworld
import torch

from modules.common.errors import GlowSVCError
from modules.config import DataConfig
from modules.dsp.mel import LogMel
from modules.pretrained.weights import find_weights
from tests.support.golden_cases import voice
from tests.support.published import VOCODER_CASES, write_vocoder
from vdecoder import VOCODERS
from vdecoder.clock import SongClock

N = 86


def reduced_data(config):
    """Analysis settings of a reduced model's config.json."""
    return DataConfig(
        sampling_rate=config["sampling_rate"],
        n_mels=config.get("num_mels") or config["inter_channels"],
        hop_length=int(np.prod(config["upsample_rates"])),
        n_fft=config.get("n_fft", 2048),
        win_length=config.get("win_size", 2048),
    )


@pytest.fixture(scope="module", params=list(VOCODERS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def build(name, tmp_path_factory):
    """Build the vocoder again, from the same file."""
    key = VOCODERS[name].weights
    if key is None or find_weights(key):
        return partial(VOCODERS.build, name, DataConfig(), "cpu")
    weights = write_vocoder(VOCODER_CASES[name], tmp_path_factory.mktemp("model"))
    data = reduced_data(json.loads((weights.parent / "config.json").read_text()))
    return partial(VOCODERS.build, name, data, "cpu", weights=weights)


@pytest.fixture(scope="module")
def vocoder(build):
    return build()


@pytest.fixture(scope="module")
def inputs(build):
    """A voice that glides from 220 to 440 Hz and back, with one noise burst a half second."""
    data = build.args[1]
    time = np.arange(N) * data.hop_length / data.sampling_rate
    audio = torch.from_numpy(voice(1.0, data.sampling_rate, 220.0))[: N * data.hop_length]
    f0 = 220.0 * 2.0 ** (0.5 + 0.5 * np.sin(np.pi * time))
    uv = time % 0.5 < 0.45
    mel = LogMel(data)(audio[None])[0]
    return mel, torch.from_numpy(f0).float(), torch.from_numpy(uv).float()


def test_one_hop_of_sound_per_frame_voiced_or_not(vocoder, inputs):
    audio = vocoder.synthesize(*inputs)
    assert audio.shape == (N * vocoder.hop_length,)
    assert audio.dtype == torch.float32
    assert torch.isfinite(audio).all()
    assert not audio.is_inference(), "the caller may modify it"
    for n_frames in range(1, 6):
        audio = vocoder.synthesize(*(track[..., :n_frames] for track in inputs))
        assert audio.shape == (n_frames * vocoder.hop_length,)
        assert torch.isfinite(audio).all()
    # zeros in F0 and zeros in uv mean the same, everywhere
    mel, f0, uv = inputs
    for pitch in (torch.zeros(N), f0):
        audio = vocoder.synthesize(mel, pitch, torch.zeros(N))
        assert torch.isfinite(audio).all() and audio.abs().max() > 0.01
    f0 = torch.cat([f0[:20], f0[19].expand(N - 20)])  # how gaps are bridged is the vocoder's choice
    rest, gap = f0.clone(), uv.clone()
    rest[20:] = 0
    gap[20:] = 0
    assert torch.equal(vocoder.synthesize(mel, rest, uv), vocoder.synthesize(mel, f0, gap))
    half = vocoder.cycles(f0.bfloat16(), uv)  # as a model in half precision predicts it
    assert half.dtype == np.float64 and half.shape == (N + 1,) and (np.diff(half) >= 0).all()


def test_level_and_pitch(name, build, vocoder, inputs):
    if "weights" in build.keywords:
        pytest.skip(f"needs trained weights: python -m pretrain {VOCODERS[name].weights}")
    audio = vocoder.synthesize(*inputs).double().numpy()
    assert 0.02 < np.sqrt(np.square(audio).mean()) < 0.3
    found, times = pyworld.harvest(audio, vocoder.sampling_rate, 100.0, 800.0)
    wanted = 220.0 * 2.0 ** (0.5 + 0.5 * np.sin(np.pi * times))
    steady = (times % 0.5 > 0.05) & (times % 0.5 < 0.4) & (times < 0.95)
    cents = 1200 * np.log2(found[steady] / wanted[steady])
    # a hop of delay would be 20 cents here where the glide is steepest
    assert np.abs(cents).max() < 15


def test_synthesis_is_deterministic_changes_nothing_and_may_have_lower_precision(build, vocoder, inputs):
    before, state = [track.clone() for track in inputs], torch.get_rng_state()
    assert torch.equal(vocoder.synthesize(*inputs), build().synthesize(*inputs))
    assert torch.equal(state, torch.get_rng_state()), "the global generator belongs to the caller"
    assert all(torch.equal(a, b) for a, b in zip(before, inputs, strict=True))
    audio = build(dtype=torch.bfloat16).synthesize(*inputs)
    assert audio.dtype == torch.float32
    error = (audio - vocoder.synthesize(*inputs)).square().mean()
    # three digits in every layer; untrained weights saturate
    assert error < 0.03 * audio.square().mean()


def test_slices_of_a_song_sound_as_the_whole(vocoder, inputs):
    """In their common frames, in a consonant as in a note: phase and noise are those of the song."""
    whole, clock, hop = vocoder.synthesize(*inputs), SongClock(), vocoder.hop_length
    for first, last, join in ((-3, 40, None), (10, 60, 24), (30, N - 3, 45)):
        mel, f0, uv = (track[..., first + 3 : last + 3] for track in inputs)
        start = clock.start(first, join, vocoder.cycles(f0, uv))
        assert start.frame == first + 3
        part = vocoder.synthesize(mel, f0, uv, start)
        edges = (0 if join is None else 14, last - first - 14)  # beyond them the context is missing
        wanted = whole[(first + 3 + edges[0]) * hop : (first + 3 + edges[1]) * hop]
        # the random weights of the snakes ask for the sine of large numbers
        torch.testing.assert_close(part[edges[0] * hop : edges[1] * hop], wanted, rtol=0, atol=2e-4)


def test_unusable_inputs_are_refused(vocoder, inputs):
    mel, f0, uv = inputs
    for track in range(3):
        broken = [tensor.clone() for tensor in inputs]
        broken[track][..., 7] = torch.nan
        with pytest.raises(GlowSVCError, match="NaN"):
            vocoder.synthesize(*broken)
    with pytest.raises(GlowSVCError, match="frames"):
        vocoder.synthesize(mel, f0[:-1], uv)
    with pytest.raises(GlowSVCError, match=str(len(mel))):
        vocoder.synthesize(mel[:-1], f0, uv)
