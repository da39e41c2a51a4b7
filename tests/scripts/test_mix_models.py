"""Several models as one: what each counts, what is refused, and that the result is a model."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import inference_main
import mix_models
from model_tools.compress import compress_model
from model_tools.merge import mix_models as mix
from models import GlowSVC
from modules.checkpoint import load_model, model_state, read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError, ConfigError
from modules.config import load_config
from modules.dsp.audio import write_audio
from tests.inference.tiny import write_diffusion, write_model
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
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return [model_in(tmp_path / name, seed) for seed, name in enumerate(("a", "b", "声 c"))]


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


def test_configurations_without_names_are_named(models, caplog):
    mix(models[:2], (50, 50))
    assert not caplog.text
    for model in models[:2]:
        changed(model.with_name("config.json"), "spk")
    mix(models[:2], (50, 50))
    compress_model(models[0], "small.pth")
    assert caplog.text.count("names no speakers (section spk): the model is asked for ids") == 2


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_tensor_is_the_weighted_mean(models, tmp_path, suffix):
    output = tmp_path / f"混 mix{suffix}"
    for ratios, convex in [
        ((60, 40, 0), True),
        ((100, 100, 100), True),
        ((60, 30, 10), False),
        ((50, 20, 0), False),
    ]:
        done = mix(models, ratios, output, convex=convex)
        powers = [math.exp(ratio / 100) for ratio in ratios]
        weights = [power / sum(powers) for power in powers] if convex else [ratio / 100 for ratio in ratios]
        np.testing.assert_allclose(done.weights, weights)
        content = read_checkpoint(output)
        assert content.keys() == {"model", "iteration", "optimizer", "learning_rate"}
        assert (content["iteration"], content["optimizer"]) == (0, None)
        found, wanted = content["model"], expected(models, weights)
        assert {"emb_g.weight", "spk_emb.weight"} <= found.keys()
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)
        assert (done.advice is None) == (convex or sum(ratios) == 100)
    mix([models[0]] * 3, (10, 20, 70), output, convex=False)  # a model mixed with itself is itself
    torch.testing.assert_close(model_state(output), model_state(models[0]), rtol=1e-6, atol=0)


def test_files_of_all_kinds_can_be_mixed(models):
    compress_model(models[1], "b.safetensors", half=True)
    mix([models[0], "b.safetensors"], (50, 50), "out.pth", configs=["a/config.json"] * 2)
    found, wanted = model_state("out.pth"), expected(models[:2], (0.5, 0.5))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)  # half precision has 11 bits
    shared = [model_in(Path(f"shared {seed}"), seed, flow_share_parameter=True) for seed in (0, 1)]
    mix(shared, (50, 50), "out.pth")  # a shared WaveNet stays shared
    assert Path("out.pth").stat().st_size < 1.1 * shared[0].stat().st_size
    load_model(GlowSVC(load_config(shared[0].with_name("config.json")).model), "out.pth")


def test_names_of_speakers_may_differ_and_other_settings_not(models):
    config = models[1].with_name("config.json")
    changed(config, "spk", carol=0, dora=1)
    mix(models[:2], (50, 50), "out.pth")
    Path("out.pth").unlink()
    changed(config, "spk", carol=0)
    with pytest.raises(ConfigError, match="2 and 1 speakers cannot be mixed.*equal id"):
        mix(models[:2], (50, 50), "out.pth")
    changed(config, "spk", carol=0, dora=1)
    changed(config, "data", hop_length=256, training_files="elsewhere.txt")
    with pytest.raises(ConfigError, match=r"kinds of mel; they differ in hop_length \(512 and 256\)$"):
        mix(models[:2], (50, 50), "out.pth")
    for model, message in [
        (
            {"hidden_channels": 32},
            r"sections can be mixed; they differ in hidden_channels \(16 and 32\)",
        ),
        ({"n_speakers": 3}, "2 and 3 speakers cannot be mixed"),
        ({"speech_encoder": "mfcc", "ssl_dim": 24}, r"ssl_dim \(12 and 24\)"),
        ({"vol_embedding": True, "n_flow_layer": 2}, "n_flow_layer .*, vol_embedding"),
    ]:
        other = model_in(Path("other"), 5, **model)
        other.write_bytes(b"")  # refused before it is read
        with pytest.raises(ConfigError, match=message) as caught:
            mix([models[0], other], (50, 50), "out.pth")
        assert str(other.with_name("config.json")) in str(caught.value)
    assert not Path("out.pth").exists()


def test_files_that_do_not_fit_are_refused(models):
    state = model_state(models[1])
    state["pre.weight"][0, 0, 0] = math.nan
    write_checkpoint(models[1], {"model": state})
    wide = model_in(Path("other"), 5, hidden_channels=32)
    for other, message in [
        (wide, r"other.G_8.pth does not fit.*wanted.*Use the config.json"),
        (write_diffusion(Path("diffusion"))[0], "seems to be a diffusion model"),
        (models[1], r"G_8.pth holds NaN or infinity in pre.weight"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            mix([models[0], other], (50, 50), "out.pth", configs=["a/config.json"] * 2)
    assert not Path("out.pth").exists()


def test_a_mixed_voice_converts(models, script):
    done = script(mix_models.main, "-m", "a/G_8.pth", "b/G_8.pth", "-r", 100, 0)
    assert done.code == 0 and "mix_models.py" not in done.err
    assert "output.pth: 73.1% a/G_8.pth, 26.9% b/G_8.pth" in done.out and "a/config.json" in done.out
    write_audio("song.wav", voice(1.0, 44100), 44100)
    command = ("-m", "output.pth", "-c", "b/config.json", "-n", "song.wav", "-s", "anna", "-d", "cpu")
    assert script(inference_main.main, *command).code == 0


def test_a_complete_voice_in_a_folder_of_its_own(models, script):
    args = ("-m", *models, "-r", 50, 30, 30, "--linear", "-o", "trained/声/v.safetensors", "--copy_config")
    done = script(mix_models.main, *args)
    assert done.code == 0 and "sum of 110 %" in done.err
    folder = Path("trained/声")
    first, copy = (json.loads(Path(path, "config.json").read_text("utf-8")) for path in ("a", folder))
    assert first == copy
    load_model(GlowSVC(load_config(folder / "config.json").model), folder / "v.safetensors")
    assert script(mix_models.main, *args).is_mistake("config.json exists already")


def test_mistakes_are_one_line(models, script):
    two = ("-m", "a/G_8.pth", "b/G_8.pth", "-r")
    for args, message in [
        (("-m", "a/G_8.pth", "-r", 100), "two models or more"),
        ((*two, 100), "2 models and 1 ratios"),
        ((*two, 101, 0), "a ratio must be 0 to 100 %, not 101"),
        ((*two, "-1", 50, "--linear"), "a ratio must be 0 to 100 %, not -1"),
        ((*two, "nan", 50), "a ratio must be 0 to 100 %, not nan"),
        ((*two, 0, 0, "--linear"), "all ratios are 0"),
        ((*two, 50, 50, "-c", "a/config.json"), "2 models and 1 configurations"),
        ((*two, 50, 50, "-c", "a/config.json", "x.json"), "x.json, the configuration of b/G_8.pth, does not"),
        ((*two, 50, 50, "-o", "b/G_8.pth"), "b/G_8.pth is one of the models"),
        (("-m", "a/G_8.pth", "a/G_9.pth", "-r", 50, 50), "a/G_9.pth does not exist"),
        (("-m", "a/G_8.pth", "a/config.json", "-r", 50, 50), "a/config.json is a JSON file"),
    ]:
        assert script(mix_models.main, *args).is_mistake(message)
    assert not Path("output.pth").exists()
