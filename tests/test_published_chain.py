"""The whole published chain, from units to sound, against plain forms of each of its steps.

The converter's own path and a chain of plain forms get the same file of weights, which follow
from their published names: units repeated for each frame, F0 interpolated through unvoiced frames,
the Glow model, NSF-HiFiGAN and its sines. The golden keeps what the plain chain gave.
"""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.training.plain import PlainGlow
from benchmarks.vocoding import Plain
from inference.converter import Converter
from inference.noise import frame_noise
from inference.output import SongWriter
from modules.checkpoint import read_checkpoint, write_checkpoint
from modules.config import load_config
from modules.dsp.audio import resample
from tests.inference.tiny import HOP, RATE, read, write_song, write_vocoder, write_voice
from tests.support.golden_cases import fill, load_case, voice
from vdecoder.generator import Generator, GeneratorConfig

PAD = 0.1  # s, rendered on either side
CONVENTIONS = {"interpolated": False, "muted": True}  # the sines through unvoiced frames; -mu
GOLDEN = load_case("whole_chain")


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A voice model and a vocoder of weights by name, and a song of notes and hissing."""
    folder = tmp_path_factory.mktemp("chain")
    options = write_voice(folder / "voice", vocoder_name="nsf-hifigan", vol_embedding=True)
    config = Path(options.config_path)
    values = {**json.loads(config.read_text(encoding="utf-8")), "data": {"unit_interpolate_mode": "nearest"}}
    config.write_text(json.dumps(values), encoding="utf-8")
    state = read_checkpoint(options.model_path)["model"]
    filled = {name: torch.from_numpy(fill(name, tuple(value.shape))) for name, value in state.items()}
    filled["flow.flows.0.bias"] += 5.0  # log-mels of about -5
    write_checkpoint(options.model_path, {"model": filled})
    blocks = {"resblock": "1", "resblock_dilation_sizes": [[1, 3, 5]]}  # as published
    vocoder = write_vocoder(folder / "pretrain", **blocks)
    song = write_song(folder / "song.wav", voice(1.49, RATE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOW_SVC_PRETRAIN", str(folder / "pretrain"))
        yield SimpleNamespace(
            options=replace(options, pad_seconds=PAD), glow=filled, vocoder=vocoder, song=song
        )


def repeated(units, n_frames):
    """Units (D, N): each for the frames that begin within its share of the N."""
    starts = np.arange(units.shape[1]) * n_frames / units.shape[1]
    return units[:, [np.flatnonzero(starts <= frame)[-1] for frame in range(n_frames)]]


def interpolated(f0):
    """F0 (N,), Hz, 0 where unvoiced, with straight lines from each note to the next."""
    f0, voiced = f0.astype(np.float64), np.flatnonzero(f0)
    f0[: voiced[0]], f0[voiced[-1] :] = f0[voiced[0]], f0[voiced[-1]]
    for left, right in zip(voiced, voiced[1:], strict=False):
        steps = np.arange(right - left) / (right - left)
        f0[left:right] = f0[left] * (1 - steps) + f0[right] * steps
    return f0.astype(np.float32)


def volume(audio, n_frames):
    """Root of the mean square (N,) of the 512 samples around each frame's time."""
    power = np.concatenate([audio[HOP // 2 : 0 : -1], audio]) ** 2
    return np.array([power[i * HOP : (i + 1) * HOP].mean() ** 0.5 for i in range(n_frames)], np.float32)


def sines(f0, weight, bias):
    """Excitation (N * 512,): nine harmonics and noise, weighted; both fall silent and change where F0 is 0.

    The noise of the nine harmonics has the norm of their weights, and one stream.
    """
    pitch = np.repeat(f0.astype(np.float64), HOP)
    voiced = (pitch > 0)[:, None]
    order = np.arange(1, 10)
    begin = np.append(0.0, np.random.default_rng(0).random(8))  # cycles
    phase = np.cumsum(pitch / RATE)[:, None] * order + begin
    noise = np.random.default_rng([0, 0]).standard_normal(len(pitch), np.float32)[:, None]
    level = np.where(voiced, 0.003, 0.1 / 3) * np.linalg.norm(weight)
    harmonic = 0.1 * np.sin(2 * np.pi * phase) * voiced
    return np.tanh(harmonic @ weight.T + noise * level + bias)[:, 0].astype(np.float32)


@torch.inference_mode()
def plain_chain(chain, converter, muted):
    """Samples (T,) of the song, by the plain forms."""
    audio = read(chain.song)
    pad = round(PAD * RATE)
    first = -pad // HOP
    n_frames = -(-(len(audio) + pad) // HOP) - first
    assert n_frames % 2 == 0, "the published flow drops what is not a pair of frames"
    given = np.zeros(n_frames * HOP, np.float32)
    given[-first * HOP : len(audio) - first * HOP] = audio
    units = repeated(converter.encode(resample(given, RATE, 16000)), n_frames)
    tracked, uv = converter.f0_predictor.predict(given, n_frames)
    f0 = interpolated(tracked * uv)
    assert 0.6 < uv.mean() < 0.95

    glow = PlainGlow(load_config(chain.options.config_path).model)
    glow.load_state_dict(chain.glow)
    noise = chain.options.noise_scale * frame_noise(first, n_frames, 128)
    tracks = (units, f0, uv), (volume(given, n_frames), noise.astype(np.float32))
    (c, pitch, voicing), (level, draws) = ([torch.from_numpy(x)[None] for x in some] for some in tracks)
    mel = glow.infer(c, pitch, voicing, torch.tensor([1]), level, draws)

    sizes = json.loads(chain.vocoder.with_name("config.json").read_text())
    network = Generator(GeneratorConfig.read(sizes, ""))
    weights = read_checkpoint(chain.vocoder)["generator"]
    network.load_state_dict(weights)
    source = (weights[f"m_source.l_linear.{name}"].numpy() for name in ("weight", "bias"))
    excitation = sines(f0 * uv if muted else f0, *source)
    sound = Plain(network)(mel, torch.from_numpy(excitation)[None])[0].numpy()
    return sound[-first * HOP : len(audio) - first * HOP]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_conversion_is_the_published_chain_sample_for_sample(chain, tmp_path, monkeypatch, convention):
    muted = CONVENTIONS[convention]
    parts, write = [], SongWriter.write
    # before the result is rounded to 16 bits
    monkeypatch.setattr(SongWriter, "write", lambda file, audio: parts.append(audio) or write(file, audio))
    converter = Converter(replace(chain.options, mute_unvoiced=muted))
    converter.convert(chain.song, tmp_path / "y.wav", "花子")
    found, wanted = np.concatenate(parts), plain_chain(chain, converter, muted)
    assert 0.01 < wanted.std() and np.abs(wanted).max() < 0.5
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    # another processor rounds otherwise, also what F0 is made of
    np.testing.assert_allclose(found[::97], GOLDEN[convention], rtol=0, atol=1e-4)
