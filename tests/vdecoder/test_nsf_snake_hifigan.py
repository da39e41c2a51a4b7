import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.common.errors import CheckpointError, ConfigError
from tests.support.golden_cases import load_case, signal
from tests.support.published import write_vocoder
from tests.vdecoder.test_contract import reduced_data
from vdecoder.nsf_snake_hifigan import NsfSnakeHifigan, SnakeGenerator, snake_config
from vdecoder.snake import Snake, halfband

CASE = load_case("nsf_snake_hifigan")
REDUCED = CASE.manifest["config"]["reduced"]
DATA = reduced_data(REDUCED)
X = torch.from_numpy(signal("snake.x", (2, 16, 12)))
SPEAKER = torch.from_numpy(signal("snake.g", (2, 8, 1)))
EXCITATION = torch.from_numpy(signal("snake.excitation", (2, 768, 1), 0.1))[..., 0]


def write_vits(folder, **model):
    """Write a whole VITS model, as so-vits-svc saves it."""
    state = {f"dec.{name}": tensor for name, tensor in CASE.state_dict().items()}
    state["enc_p.proj.weight"] = torch.zeros(32, 8, 1)
    torch.save({"model": state, "iteration": 1, "optimizer": {}, "learning_rate": 1e-4}, folder / "G_800.pth")
    sizes = {name: value for name, value in REDUCED.items() if name != "sampling_rate"} | model
    data = {"sampling_rate": 44100, "hop_length": 64, "filter_length": 2048, "n_mel_channels": 80}
    (folder / "config.json").write_text(json.dumps({"train": {}, "data": data, "model": sizes}))
    return folder / "G_800.pth"


@pytest.fixture
def network(tmp_path):
    return NsfSnakeHifigan(DATA, "cpu", weights=write_vocoder("nsf_snake_hifigan", tmp_path)).network


def test_parity_of_the_network_with_and_without_its_source(network):
    wanted = CASE["pre_tanh_given_excitation"][:, 0]
    got = network.logits(X, EXCITATION, SPEAKER, 0, 12).numpy()
    assert np.abs(got - wanted).max() < 1e-4 * wanted.std()
    for piece in (1, 5, 12):
        audio = network(X, EXCITATION, SPEAKER, piece=piece)
        np.testing.assert_allclose(audio, CASE["wave_given_excitation"][:, 0], rtol=0, atol=1e-4)
    audio = network(X, network.m_source(torch.from_numpy(CASE["f0"]), 64, 44100), SPEAKER)
    np.testing.assert_allclose(audio, CASE["wave_no_noise"][:, 0], rtol=0, atol=1e-4)


def test_parity_of_the_snake_and_its_filters_which_are_transparent(network):
    snake, x = network.snakes[1], torch.from_numpy(CASE["snake_in"]).unsqueeze(2)
    up = snake.upsample(x)
    for got, name in ((up, "up"), (snake.act(up), "act"), (snake(x), "out")):
        np.testing.assert_allclose(got[:, :, 0], CASE[f"snake_{name}"], rtol=0, atol=1e-5)
    for name in ("filter_up", "filter_down"):
        np.testing.assert_allclose(halfband().flatten(), CASE[name], rtol=0, atol=1e-6)
    # oracle: with a low frequency the activation is nearly linear, and the filters are transparent
    snake = Snake(1)
    snake.act.alpha.fill_(-10.0)
    time = torch.arange(200.0)
    x = torch.sin(time * 0.1).view(1, 1, 1, -1)
    torch.testing.assert_close(snake(x)[..., 10:-10], x[..., 10:-10], rtol=0, atol=5e-3)


def test_parity_of_names_and_shapes_at_the_published_size():
    config = snake_config("config.json", json.loads(json.dumps(CASE.manifest["config"]["published"])))
    with torch.device("meta"):
        made = SnakeGenerator(config)
    got = {name: list(tensor.shape) for name, tensor in made.state_dict().items()}
    assert got == {name: shape for name, (shape, _) in CASE.manifest["default_state_dict"].items()}


@pytest.mark.parametrize("part", ["upsample.filter", "downsample.lowpass.filter"])
def test_filters_of_the_file_are_used(tmp_path, network, part):
    path = write_vits(tmp_path)
    content = torch.load(path, weights_only=True)
    content["model"][f"dec.snakes.0.{part}"] = torch.full((1, 1, 12), 1 / 12)
    torch.save(content, path)
    other = NsfSnakeHifigan(DATA, "cpu", weights=path).network
    x = torch.from_numpy(signal("x", (1, network.snakes[0].act.alpha.numel(), 1, 20)))
    assert (other.snakes[0](x) - network.snakes[0](x)).abs().max() > 0.01
    torch.testing.assert_close(other.snakes[1].upsample.filter, halfband())


def test_the_decoder_of_a_whole_model_and_speakers_of_either_shape_or_none(tmp_path, network):
    (tmp_path / "vits").mkdir()
    whole = NsfSnakeHifigan(DATA, "cpu", weights=write_vits(tmp_path / "vits")).network
    assert torch.equal(whole(X, EXCITATION, SPEAKER), network(X, EXCITATION, SPEAKER))
    # a speaker's embedding of either shape, and no speaker at all
    flat = network(X, EXCITATION, SPEAKER[..., 0])
    assert torch.equal(flat, network(X, EXCITATION, SPEAKER))
    assert torch.equal(network(X, EXCITATION), network(X, EXCITATION, torch.zeros(2, 8)))


def test_unusable_models_are_refused(tmp_path):
    for data, model, message in (
        ({"n_mels": 128}, {}, r"16 is not data\.n_mels 128.*latents of a VITS.*nsf-hifigan"),
        ({"hop_length": 128}, {}, "hop_size 64"),
        ({}, {"resblock": "2"}, "resblock '2'"),
    ):
        with pytest.raises(ConfigError, match=message):
            NsfSnakeHifigan(replace(DATA, **data), "cpu", weights=write_vits(tmp_path, **model))
    path = write_vits(tmp_path)
    torch.save({"model": {"enc_p.proj.weight": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match=r"dec\."):
        NsfSnakeHifigan(DATA, "cpu", weights=path)
