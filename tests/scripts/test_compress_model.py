"""Compressed models: smaller, and as good a voice and as good a start as before."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import compress_model
import inference_main
from diffusion.config import load_diffusion_config
from diffusion.unit2mel import load_unit2mel
from model_tools.compress import compress_model as compress
from models import GlowSVC
from modules.checkpoint import load_model, model_state, read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError
from modules.config import load_config
from modules.dsp.audio import write_audio
from tests.inference.tiny import write_diffusion, write_model
from tests.support.golden_cases import load_case, voice
from tests.training.support.clips import make_clips, with_train
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.glow import GlowTask

CPU = torch.device("cpu")
SUFFIXES = (".pth", ".safetensors")
# natural log; 0.01 is 0.09 dB, a tenth of what can be heard. Measured: 0.0009 on average, 0.011 at most
CLOSE = {"mean": 0.003, "most": 0.03}


def training_checkpoint(folder, **model):
    """Write a checkpoint as a run leaves it, with an optimizer and the weights twice."""
    path, config = write_model(folder, **model)
    state = model_state(path)
    moments = {
        i: {"step": torch.ones(()), "exp_avg": t, "exp_avg_sq": t} for i, t in enumerate(state.values())
    }
    content = {
        "model": state,
        "iteration": 8,
        "learning_rate": 0.7,
        "optimizer": {"state": moments, "param_groups": [{"lr": np.float64(0.7), "params": [0]}]},
        "training_model": {name: tensor.clone() for name, tensor in state.items()},
        "progress": {"step": 8},
        "rng": [{"cpu": torch.get_rng_state()}],
        "scaler": {},
        "verdict": {"best": 0.5},
    }
    torch.save(content, path)
    return path, config


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_training_state_is_dropped(tmp_path, suffix):
    path, config = training_checkpoint(tmp_path / "logs")
    output = tmp_path / f"花子 voice{suffix}"
    done = compress(path, output)
    content = read_checkpoint(output)
    assert_close(content.pop("model"), read_checkpoint(path)["model"], rtol=0, atol=0)
    assert content == {"iteration": 8, "optimizer": None, "learning_rate": 0.7}
    assert (done.kind, done.config_path, done.mel_change) == ("voice model", config, None)
    assert (done.before, done.after) == (path.stat().st_size, output.stat().st_size)
    assert done.after < 0.5 * done.before  # of so small a model, names and shapes are a good part
    assert sorted(tmp_path.iterdir()) == sorted([output, tmp_path / "logs"])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_diffusion_model_is_recognised_by_its_content(tmp_path, suffix):
    path, config = write_diffusion(tmp_path / "logs", n_chans=64, n_hidden=32, timesteps=100)
    write_checkpoint(path, read_checkpoint(path) | {"optimizer": {"state": {0: torch.ones(9999)}}})
    parsed = load_diffusion_config(config)
    units, f0 = torch.randn(1, 12, 31, generator=torch.Generator().manual_seed(3)), torch.full((1, 31), 300.0)
    inputs = units, f0, torch.full((1, 31), 0.1), torch.tensor([1])
    mel = torch.full((1, 128, 31), -5.0)
    wanted = load_unit2mel(path, parsed).infer(*inputs, mel=mel)
    for half in (False, True):
        output = tmp_path / f"small{suffix}"
        done = compress(path, output, half=half)
        assert (done.kind, done.config_path) == ("diffusion model", config)
        assert done.after < (0.7 if half else 1) * done.before
        content = read_checkpoint(output)
        assert content["global_step"] == 8 and content.keys() == {"model", "global_step"}
        # its tables keep all their digits: the schedule is read from them
        assert content["model"]["decoder.betas"].dtype == torch.float32
        found = load_unit2mel(output, parsed).infer(*inputs, mel=mel)
        if half:
            near(found, wanted)
            assert 0 < done.mel_change[0] < CLOSE["mean"]
        else:
            assert torch.equal(found, wanted)


def near(found, wanted):
    change = (found - wanted).abs()
    assert 0 < change.mean() < CLOSE["mean"] and change.max() < CLOSE["most"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_half_precision_loads_and_runs_and_is_near(tmp_path, suffix, device):
    """The published network with the golden's weights: all of its parts move the mel."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    case = load_case("glow_infer")
    path = tmp_path / "G_1000.pth"
    torch.save({"model": case.state_dict(), "iteration": 3, "optimizer": {}, "learning_rate": 0.7}, path)
    values = dict(case.manifest["config"])
    (tmp_path / "config.json").write_text(
        json.dumps({"data": {"n_mel_channels": values["inter_channels"]}, "model": values})
    )
    output = tmp_path / f"half{suffix}"
    done = compress(path, output, half=True)
    assert done.after < 0.75 * done.before  # of so small a model, much is in the tensors that stay whole
    assert torch.float16 in {tensor.dtype for tensor in model_state(output).values()}
    x = {key: torch.from_numpy(case[key]) if key in case.arrays else None for key in ("c", "f0", "uv", "vol")}
    inputs = [torch.from_numpy(load_case("glow_train")[key]) if x[key] is None else x[key] for key in x]
    units, f0, uv, volume = (value[:1].to(device) for value in inputs)
    mels = []
    for file in (path, output):
        model = GlowSVC(load_config(tmp_path / "config.json").model)
        load_model(model, file)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        model.eval().to(device)
        mels.append(
            model.infer(units, f0, uv, torch.tensor([1], device=device), volume, noise_scale=0)[0].cpu()
        )
    near(mels[1], mels[0])
    assert 0 < done.mel_change[0] < 2 * CLOSE["mean"]  # with noise, which these weights blow up


def test_a_value_beyond_half_precision_stays_float32(tmp_path):
    path, _ = training_checkpoint(tmp_path)
    state = read_checkpoint(path)["model"]
    state["enc_p.f0_emb.weight"][3, 3] = 1e5
    write_checkpoint(path, {"model": state})
    compress(path, tmp_path / "half.pth", half=True)
    kept = model_state(tmp_path / "half.pth")
    assert kept["enc_p.f0_emb.weight"][3, 3] == 1e5 and kept["pre.weight"].dtype == torch.float32
    large = {kept[name].dtype for name in state if state[name].numel() >= 2000}
    assert large == {torch.float16, torch.float32}


def test_a_shared_wavenet_is_written_once(tmp_path):
    plain, _ = training_checkpoint(tmp_path / "plain")
    shared, config = training_checkpoint(tmp_path / "shared", flow_share_parameter=True)
    for half, suffix in product((False, True), SUFFIXES):
        outputs = [tmp_path / f"{name}{half}{suffix}" for name in ("shared", "plain")]
        for source, output in zip((shared, plain), outputs, strict=True):
            compress(source, output, half=half)
        assert outputs[0].stat().st_size < outputs[1].stat().st_size
        load_model(GlowSVC(load_config(config).model), outputs[0])


def test_files_compressed_before_and_bare_ones_are_accepted(tmp_path):
    path, config = training_checkpoint(tmp_path)
    a, b, c = tmp_path / "a.safetensors", tmp_path / "b.pth", tmp_path / "c.safetensors"
    compress(path, a, half=True)
    compress(a, b)
    compress(b, c, half=True)
    assert_close(model_state(c), model_state(a), rtol=0, atol=0)
    assert read_checkpoint(c)["iteration"] == 8

    state = {name: tensor.contiguous() for name, tensor in model_state(path).items()}
    save_file(state, a)
    compress(a, b, config)
    content = read_checkpoint(b)
    assert_close(content.pop("model"), state, rtol=0, atol=0)
    assert content == {"iteration": 0, "optimizer": None, "learning_rate": 0.0}


def test_a_conversion_is_the_same_as_before(script, tmp_path):
    path, config = training_checkpoint(tmp_path)
    write_audio("song.wav", voice(1.0, 44100), 44100)
    results = []
    for model in (path, tmp_path / "small.pth", tmp_path / "small.safetensors"):
        if model != path:
            compress(path, model)
        command = ("-m", model, "-c", config, "-n", "song.wav", "-s", "anna", "-d", "cpu")
        assert script(inference_main.main, *command).code == 0
        [result] = Path("results").iterdir()
        results.append(soundfile.read(result)[0])
        result.unlink()
    assert all(np.array_equal(results[0], other) for other in results[1:]) and np.abs(results[0]).max() > 0


def test_it_can_be_a_base_model(tmp_path):
    """As G_0.pth, whatever it is inside."""
    clips = make_clips(tmp_path / "dataset", {"a": [40, 50], "b": [60]})
    config = with_train(max_steps=2)
    base = GlowTask(config, clips, clips[:1], CPU).model.state_dict()
    base = {name: tensor + 0.001 for name, tensor in base.items()}
    write_checkpoint(tmp_path / "G_7.pth", {"model": base, "optimizer": {"state": {}}, "iteration": 1})
    folder = tmp_path / "run"
    folder.mkdir()
    for half, suffix in product((False, True), SUFFIXES):
        compress(tmp_path / "G_7.pth", tmp_path / f"start{suffix}", half=half)
        (tmp_path / f"start{suffix}").replace(folder / "G_0.pth")
        task = GlowTask(config, clips, clips[:1], CPU)
        run = Trainer(task, config.train, folder, DistributedContext(CPU))
        assert not run.state.fresh and run.progress.step == 0
        rtol, atol = (1e-3, 1e-6) if half else (0, 0)  # half precision has 11 bits
        assert_close(dict(task.model.state_dict()), base, rtol=rtol, atol=atol)


def test_models_of_other_kinds_are_named(tmp_path):
    path, output = tmp_path / "a.pth", tmp_path / "out.pth"
    sovits = {"enc_q.a": torch.ones(1), "flow.flows.0.b": torch.ones(1)}
    for content, message in [
        ({"generator": {"m_source.l_linear.weight": torch.ones(1)}}, "NSF vocoder"),
        ({"model": sovits}, r"a.pth is neither a voice model of Glow-SVC.*so-vits-svc"),
        ({"model": {"w": torch.ones(1)}}, "nor a diffusion model$"),
        ({"model": 1}, "nor a diffusion model$"),
    ]:
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=message):
            compress(path, output)
    assert not output.exists()


def test_the_command(script, tmp_path):
    path, config = training_checkpoint(tmp_path)
    out = script(compress_model.main, "-c", config, "-i", path, "-hf").out
    assert (tmp_path / "G_8_release.pth").is_file()
    parts = ("G_8_release.pth: voice model", "before", "after", f"it fits {config}", "half precision moves")
    assert [part for part in parts if part not in out] == []
    for args, message in [
        (["-i", "none.pth"], "none.pth does not exist"),
        (["-i", "G_8.pth", "-o", "G_8.pth"], "is the model itself"),
        (["-i", "G_8.pth", "-c", "none.json"], "none.json does not exist"),
        (["-i", "config.json"], "config.json is a JSON file"),
    ]:
        assert script(compress_model.main, *args).is_mistake(message)
    _, other = training_checkpoint(tmp_path / "other", hidden_channels=32)
    done = script(compress_model.main, "-i", path, "-c", other)
    assert done.is_mistake("G_8.pth does not fit") and "Use the config.json" in done.err
    config.unlink()
    assert "none was checked" in script(compress_model.main, "-i", path, "-o", "a b.safetensors").out
    assert load_file(tmp_path / "a b.safetensors")
