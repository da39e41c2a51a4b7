"""The module that is traced against the vocoder it is made of, and its pieces."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from export.vocoder import VocoderGraph, reach
from inference.onnx.vocoder import GraphVocoder
from tests.support.published import write_vocoder
from tests.vdecoder.test_contract import reduced_data
from vdecoder.clock import SONG_START, SourceStart
from vdecoder.draws import initial_phase, source_noise
from vdecoder.nsf_hifigan import NsfHifigan
from vdecoder.nsf_snake_hifigan import NsfSnakeHifigan

CASES = {
    "natural": ("nsf_hifigan", NsfHifigan),
    "resblock 2": ("nsf_hifigan_resblock2", NsfHifigan),
    "log10": ("nsf_hifigan", partial(NsfHifigan, mel_scale=0.434294)),
    "snake": ("nsf_snake_hifigan", NsfSnakeHifigan),
}


@pytest.fixture(scope="module", params=CASES)
def vocoder(request, tmp_path_factory):
    case, kind = CASES[request.param]
    weights = write_vocoder(case, tmp_path_factory.mktemp("vocoder"))
    return kind(reduced_data(json.loads((weights.parent / "config.json").read_text())), weights=weights)


def song(vocoder, n_frames):
    generator = torch.Generator().manual_seed(n_frames)
    mel = torch.randn(vocoder.n_mels, n_frames, generator=generator) - 3
    f0 = 100 + 300 * torch.rand(n_frames, generator=generator)
    uv = (torch.rand(n_frames, generator=generator) > 0.3).float()
    return mel, f0, uv


def tolerance(vocoder):
    # the random weights of the snakes ask for the sine of large numbers
    return {"rtol": 0, "atol": 2e-4 if isinstance(vocoder, NsfSnakeHifigan) else 5e-6}


@pytest.mark.parametrize("n_frames", [1, 2, 31])
def test_the_sound_is_that_of_the_vocoder(vocoder, n_frames):
    mel, f0, uv = song(vocoder, n_frames)
    phase = torch.from_numpy(initial_phase(SONG_START))[None].float()
    noise = torch.from_numpy(source_noise(SONG_START, n_frames, vocoder.hop_length))[None]
    found = VocoderGraph(vocoder).eval()(mel[None], (f0 * uv)[None], noise, phase)[0]
    torch.testing.assert_close(found, vocoder.synthesize(mel, f0, uv), **tolerance(vocoder))


@pytest.mark.parametrize("piece", [1, 40])
def test_pieces_join_without_a_trace(vocoder, piece):
    graph, lengths = VocoderGraph(vocoder).eval(), []

    def synthesize(feed):
        lengths.append(feed["f0"].shape[1])
        return graph(**{name: torch.from_numpy(np.array(track)) for name, track in feed.items()}).numpy()

    frames = reach(vocoder.network)
    made = GraphVocoder(synthesize, vocoder.sampling_rate, vocoder.hop_length, frames, piece)
    mel, f0, uv = song(vocoder, 150)
    found = torch.from_numpy(made(mel.numpy(), f0.numpy(), uv.numpy()))
    torch.testing.assert_close(found, vocoder.synthesize(mel, f0, uv), **tolerance(vocoder))
    assert max(lengths) <= piece + 2 * frames and len(lengths) == -(-150 // piece)
    np.testing.assert_allclose(made.cycles(f0.numpy(), uv.numpy()), vocoder.cycles(f0, uv), rtol=0, atol=1e-9)
    start = SourceStart(7, 0.3)
    found = torch.from_numpy(made(mel.numpy(), f0.numpy(), uv.numpy(), start))
    torch.testing.assert_close(found, vocoder.synthesize(mel, f0, uv, start), **tolerance(vocoder))


def test_two_minutes_do_not_drift(vocoder):
    """The phase that a piece begins with is as exact as the whole song's."""
    mel, f0 = np.zeros((vocoder.n_mels, 5000), np.float32), np.full(5000, 441.3, np.float32)
    begun = []

    def synthesize(feed):
        begun.append(feed["phase"][0])
        return np.zeros((1, feed["source_noise"].shape[1]), np.float32)

    rate, hop = vocoder.sampling_rate, vocoder.hop_length
    GraphVocoder(synthesize, rate, hop, 0, 4999)(mel, f0, np.ones(5000))
    advance = (begun[1] - begun[0])[8] - 9 * float(f0[0]) * 4999 * hop / rate  # of the ninth harmonic
    assert abs(advance - round(advance)) < 1e-6
