"""Several models as one: what each counts, what is refused, and that the result is a model."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import inference_main
import mix_models
from diffusion.config import parse_diffusion_config
from diffusion.unit2mel import Unit2Mel
from model_tools.compress import compress_model
from model_tools.merge import mix_models as mix
from models import GlowSVC
from modules.checkpoint import load_model, model_state, read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError, ConfigError
from modules.config import load_config
from modules.dsp.audio import write_audio
from tests.inference.tiny import write_model
from tests.support.golden_cases import voice


def model_in(folder, seed, **model):
    """Write a model whose weights are its own; return its file."""
    path, config = write_model(folder, **model)
    torch.manual_seed(seed)
    state = GlowSVC(load_config(config).model).state_dict()
    state["enc_p.proj.bias"][:128] = -5.0
    write_checkpoint(path, {"model": state, "iteration": 8, "optimizer": {"state": {}}, "learning_rate": 0.1})
    return path


@pytest.fixture
def models(tmp_path):
    return [model_in(tmp_path / f"声 {seed}", seed) for seed in range(3)]


def changed(path, section, **values):
    content = json.loads(path.read_text(encoding="utf-8"))
    content[section] = values if section == "spk" else {**content.get(section, {}), **values}
    path.write_text(json.dumps(content), encoding="utf-8")


def expected(models, weights):
    states = [model_state(path) for path in models]
    return {
        name: sum(
            weight * state[name].double() for weight, state in zip(weights, states, strict=True)
        ).float()
        for name in states[0]
    }


@pytest.mark.parametrize(
    ("ratios", "convex"),
    [((60, 40, 0), True), ((100, 100, 100), True), ((60, 30, 10), False), ((50, 20, 0), False)],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_tensor_is_the_weighted_mean(models, tmp_path, ratios, convex, suffix):
    output = tmp_path / f"混 mix{suffix}"
    done = mix(models, ratios, output, convex=convex)
    powers = [math.exp(ratio / 100) for ratio in ratios]
    weights = [power / sum(powers) for power in powers] if convex else [ratio / 100 for ratio in ratios]
    np.testing.assert_allclose(done.weights, weights)
    found = model_state(output)
    wanted = expected(models, weights)
    assert found.keys() == wanted.keys() and {"emb_g.weight", "spk_emb.weight"} <= found.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-7)
    content = read_checkpoint(output)
    assert content.keys() == {"model", "iteration", "optimizer", "learning_rate"}
    assert (content["iteration"], content["optimizer"]) == (0, None)
    assert (done.advice is None) == (convex or sum(ratios) == 100)


def test_a_model_mixed_with_itself_is_itself(models, tmp_path):
    mix([models[0]] * 3, (10, 20, 70), tmp_path / "out.pth", convex=False)
    for name, tensor in model_state(models[0]).items():
        torch.testing.assert_close(model_state(tmp_path / "out.pth")[name], tensor, rtol=1e-6, atol=0)


def test_files_of_all_kinds_can_be_mixed(models, tmp_path):
    compress_model(models[1], tmp_path / "b.safetensors", half=True)
    mix(
        [models[0], tmp_path / "b.safetensors"],
        (50, 50),
        tmp_path / "out.pth",
        configs=[models[0].with_name("config.json")] * 2,
    )
    found = model_state(tmp_path / "out.pth")
    for name, tensor in expected(models[:2], (0.5, 0.5)).items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)  # half precision has 11 bits


def test_a_shared_wavenet_stays_shared(tmp_path):
    shared = [model_in(tmp_path / str(seed), seed, flow_share_parameter=True) for seed in (0, 1)]
    mix(shared, (50, 50), tmp_path / "out.pth")
    assert (tmp_path / "out.pth").stat().st_size < 1.1 * shared[0].stat().st_size
    load_model(GlowSVC(load_config(shared[0].with_name("config.json")).model), tmp_path / "out.pth")


def test_names_of_speakers_may_differ_but_not_their_number(models, tmp_path):
    config = models[1].with_name("config.json")
    changed(config, "spk", carol=0, dora=1)
    mix(models[:2], (50, 50), tmp_path / "out.pth")
    changed(config, "spk", carol=0)
    with pytest.raises(ConfigError, match="2 and 1 speakers cannot be mixed.*equal id"):
        mix(models[:2], (50, 50), tmp_path / "out.pth")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"hidden_channels": 32},
            r"equal model sections can be mixed; they differ in hidden_channels \(16 and 32\)",
        ),
        ({"n_speakers": 3}, "2 and 3 speakers cannot be mixed"),
        ({"speech_encoder": "mfcc", "ssl_dim": 24}, r"ssl_dim \(12 and 24\)"),
        ({"vol_embedding": True, "n_flow_layer": 2}, "n_flow_layer .*, vol_embedding"),
    ],
)
def test_models_of_different_build_are_refused_before_anything_is_read(models, tmp_path, model, message):
    other = model_in(tmp_path / "other", 5, **model)
    other.write_bytes(b"")
    with pytest.raises(ConfigError, match=message) as caught:
        mix([models[0], other], (50, 50), tmp_path / "out.pth")
    assert str(other.with_name("config.json")) in str(caught.value)
    assert not (tmp_path / "out.pth").exists()


def test_models_of_different_mels_are_refused(models, tmp_path):
    changed(models[1].with_name("config.json"), "data", hop_length=256, training_files="elsewhere.txt")
    with pytest.raises(
        ConfigError, match=r"different kinds of mel; they differ in hop_length \(512 and 256\)$"
    ):
        mix(models[:2], (50, 50), tmp_path / "out.pth")


def test_a_model_of_another_shape_than_its_configuration_says(models, tmp_path):
    other = model_in(tmp_path / "other", 5, hidden_channels=32)
    with pytest.raises(CheckpointError, match=r"other.G_8.pth does not fit.*wanted.*Use the config.json"):
        mix(
            [models[0], other],
            (50, 50),
            tmp_path / "out.pth",
            configs=[models[0].with_name("config.json")] * 2,
        )
    assert not (tmp_path / "out.pth").exists()


def test_files_that_are_no_voices(models, tmp_path):
    config = {"data": {"encoder_out_channels": 12}, "model": {"n_layers": 1, "n_chans": 8, "n_hidden": 6}}
    diffusion = Unit2Mel(parse_diffusion_config(yaml.safe_load(json.dumps(config))))
    write_checkpoint(tmp_path / "model_0.pt", {"model": diffusion.state_dict(), "global_step": 0})
    configs = [models[0].with_name("config.json")] * 2
    with pytest.raises(CheckpointError, match="seems to be a diffusion model"):
        mix([models[0], tmp_path / "model_0.pt"], (50, 50), tmp_path / "out.pth", configs=configs)
    state = model_state(models[1])
    state["pre.weight"][0, 0, 0] = math.nan
    write_checkpoint(models[1], {"model": state})
    with pytest.raises(CheckpointError, match=r"G_8.pth holds NaN or infinity in pre.weight"):
        mix(models[:2], (50, 50), tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


# --- the command


@pytest.fixture
def script(models, monkeypatch, tmp_path, capsys):
    """Run the command in a folder of three models, a/, b/ and c/; return (exit code, what it printed)."""
    for path, name in zip(models, "abc", strict=True):
        path.parent.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)

    def call(*args):
        code = mix_models.main(list(map(str, args)))
        return code, capsys.readouterr()

    return call


def test_what_is_mixed_sings(script):
    code, printed = script("-m", "a/G_8.pth", "b/G_8.pth", "-r", 100, 0)
    assert code == 0 and "mix_models.py" not in printed.err
    assert "output.pth: 73.1% a/G_8.pth, 26.9% b/G_8.pth" in printed.out and "a/config.json" in printed.out
    write_audio("song.wav", voice(1.0, 44100), 44100)
    command = ["-m", "output.pth", "-c", "b/config.json", "-n", "song.wav", "-s", "anna", "-d", "cpu"]
    assert inference_main.main(command) == 0


def test_a_complete_voice_in_a_folder_of_its_own(script):
    args = (
        "-m",
        "a/G_8.pth",
        "b/G_8.pth",
        "c/G_8.pth",
        "-r",
        50,
        30,
        30,
        "--linear",
        "-o",
        "trained/声/v.safetensors",
    )
    code, printed = script(*args, "--copy_config")
    assert code == 0 and "sum of 110 %" in printed.err
    folder = Path("trained/声")
    assert json.loads((folder / "config.json").read_text(encoding="utf-8")) == json.loads(
        Path("a/config.json").read_text(encoding="utf-8")
    )
    load_model(GlowSVC(load_config(folder / "config.json").model), folder / "v.safetensors")
    code, printed = script(*args, "--copy_config")
    assert code == 2 and "config.json exists already" in printed.err


TWO = ("-m", "a/G_8.pth", "b/G_8.pth")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-m", "a/G_8.pth", "-r", 100), "two models or more"),
        ((*TWO, "-r", 100), "2 models and 1 ratios"),
        ((*TWO, "-r", 101, 0), "a ratio must be 0 to 100 %, not 101"),
        ((*TWO, "-r", "-1", 50, "--linear"), "a ratio must be 0 to 100 %, not -1"),
        ((*TWO, "-r", "nan", 50), "a ratio must be 0 to 100 %, not nan"),
        ((*TWO, "-r", 0, 0, "--linear"), "all ratios are 0"),
        ((*TWO, "-r", 50, 50, "-c", "a/config.json"), "2 models and 1 configurations"),
        (
            (*TWO, "-r", 50, 50, "-c", "a/config.json", "x.json"),
            "x.json, the configuration of b/G_8.pth, does not exist",
        ),
        ((*TWO, "-r", 50, 50, "-o", "b/G_8.pth"), "b/G_8.pth is one of the models"),
        (("-m", "a/G_8.pth", "a/G_9.pth", "-r", 50, 50), "a/G_9.pth does not exist"),
        (("-m", "a/G_8.pth", "a/config.json", "-r", 50, 50), "a/config.json is a JSON file"),
    ],
)
def test_mistakes_are_one_line(script, args, message):
    code, printed = script(*args)
    [line] = [line for line in printed.err.splitlines() if line.strip() and "mixing:" not in line]  # the bar
    assert code == 2 and line.startswith("mix_models.py: ") and message in line.replace("\\", "/")
    assert not Path("output.pth").exists()
