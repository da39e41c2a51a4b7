"""Compressed models: smaller, and as good a voice and as good a start as before."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file, save_file

import compress_model
import inference_main
from diffusion.config import parse_diffusion_config
from diffusion.unit2mel import Unit2Mel, load_unit2mel
from model_tools.compress import compress_model as compress
from models import GlowSVC
from modules.checkpoint import load_model, model_state, read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError, ConfigError
from modules.config import load_config
from modules.dsp.audio import write_audio
from tests.inference.tiny import write_model
from tests.support.golden_cases import fill, load_case, voice
from tests.training.clips import make_clips, with_train
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.glow import GlowTask

CPU = torch.device("cpu")
SUFFIXES = (".pth", ".safetensors")
# natural log; 0.01 is 0.09 dB, a tenth of what can be heard. Measured: 0.0009 on average, 0.011 at most
CLOSE = {"mean": 0.003, "most": 0.03}
DIFFUSION = {
    "data": {"encoder": "mfcc", "encoder_out_channels": 12},
    "model": {"n_layers": 2, "n_chans": 64, "n_hidden": 32, "timesteps": 100, "n_spk": 2},
    "infer": {"speedup": 10},
    "spk": {"anna": 0, "花子": 1},
}


def training_checkpoint(folder, **model):
    """Write a checkpoint as a run leaves it, with an optimizer and the weights twice."""
    path, config = write_model(folder, **model)
    state = read_checkpoint(path)["model"]
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


def diffusion_checkpoint(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(DIFFUSION, allow_unicode=True), encoding="utf-8")
    model = Unit2Mel(parse_diffusion_config(DIFFUSION))
    state = {
        name: tensor
        if "decoder." in name and "denoise_fn" not in name
        else torch.from_numpy(fill(name, tuple(tensor.shape)))
        for name, tensor in model.state_dict().items()
    }
    content = {"global_step": 500, "model": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(9999)}}}}
    write_checkpoint(folder / "model_500.pt", content)
    return folder / "model_500.pt", folder / "config.yaml"


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_what_training_needs_is_dropped(tmp_path, suffix):
    path, config = training_checkpoint(tmp_path / "logs")
    output = tmp_path / f"花子 voice{suffix}"
    done = compress(path, output)
    content = read_checkpoint(output)
    same(content.pop("model"), read_checkpoint(path)["model"])
    assert content == {"iteration": 8, "optimizer": None, "learning_rate": 0.7}
    assert (done.kind, done.config_path, done.mel_change) == ("voice model", config, None)
    assert (done.before, done.after) == (path.stat().st_size, output.stat().st_size)
    assert done.after < 0.5 * done.before  # of so small a model, names and shapes are a good part
    assert sorted(tmp_path.iterdir()) == sorted([output, tmp_path / "logs"])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("half", [False, True])
def test_a_diffusion_model_is_known_by_its_content(tmp_path, suffix, half):
    path, config = diffusion_checkpoint(tmp_path / "logs")
    output = tmp_path / f"small{suffix}"
    done = compress(path, output, half=half)
    assert (done.kind, done.config_path) == ("diffusion model", config)
    assert done.after < (0.7 if half else 1) * done.before
    content = read_checkpoint(output)
    assert content["global_step"] == 500 and content.keys() == {"model", "global_step"}
    # its tables keep all their digits: the schedule is read from them
    assert content["model"]["decoder.betas"].dtype == torch.float32
    before = load_unit2mel(path, parse_diffusion_config(DIFFUSION))
    after = load_unit2mel(output, parse_diffusion_config(DIFFUSION))
    units, f0 = torch.randn(1, 12, 31, generator=torch.Generator().manual_seed(3)), torch.full((1, 31), 300.0)
    sung = [
        m.infer(units, f0, torch.full((1, 31), 0.1), torch.tensor([1]), mel=torch.full((1, 128, 31), -5.0))
        for m in (before, after)
    ]
    if half:
        near(*sung)
        assert 0 < done.mel_change[0] < CLOSE["mean"]
    else:
        assert torch.equal(*sung)


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


def test_a_value_that_half_precision_cannot_hold_is_kept_whole(tmp_path):
    path, config = training_checkpoint(tmp_path)
    state = read_checkpoint(path)["model"]
    state["enc_p.f0_emb.weight"][3, 3] = 1e5
    write_checkpoint(path, {"model": state})
    compress(path, tmp_path / "half.pth", half=True)
    kept = model_state(tmp_path / "half.pth")
    assert kept["enc_p.f0_emb.weight"][3, 3] == 1e5 and kept["pre.weight"].dtype == torch.float32
    assert {kept[name].dtype for name in state if state[name].numel() >= 2000} == {
        torch.float16,
        torch.float32,
    }


def test_a_shared_wavenet_is_written_once(tmp_path):
    plain, _ = training_checkpoint(tmp_path / "plain")
    shared, config = training_checkpoint(tmp_path / "shared", flow_share_parameter=True)
    for half in (False, True):
        for suffix in SUFFIXES:
            output = tmp_path / f"out{half}{suffix}"
            compress(shared, output, half=half)
            compress(plain, tmp_path / f"plain{suffix}", half=half)
            assert output.stat().st_size < (tmp_path / f"plain{suffix}").stat().st_size
            load_model(GlowSVC(load_config(config).model), output)


def test_what_is_compressed_can_be_compressed_again(tmp_path):
    path, _ = training_checkpoint(tmp_path)
    compress(path, tmp_path / "a.safetensors", half=True)
    compress(tmp_path / "a.safetensors", tmp_path / "b.pth")
    compress(tmp_path / "b.pth", tmp_path / "c.safetensors", half=True)
    same(model_state(tmp_path / "c.safetensors"), model_state(tmp_path / "a.safetensors"))
    assert read_checkpoint(tmp_path / "c.safetensors")["iteration"] == 8


def test_a_bare_file_of_another_program_is_taken(tmp_path):
    path, config = training_checkpoint(tmp_path / "logs")
    state = {name: tensor.contiguous() for name, tensor in model_state(path).items()}
    save_file(state, tmp_path / "bare.safetensors")
    compress(tmp_path / "bare.safetensors", tmp_path / "out.pth", config)
    content = read_checkpoint(tmp_path / "out.pth")
    same(content.pop("model"), state)
    assert content == {"iteration": 0, "optimizer": None, "learning_rate": 0.0}


def test_a_song_is_converted_by_it_as_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, config = training_checkpoint(tmp_path)
    write_audio("song.wav", voice(1.0, 44100), 44100)
    results = []
    for suffix in ("", *SUFFIXES):
        model = tmp_path / f"small{suffix}" if suffix else path
        if suffix:
            compress(path, model)
        command = ["-m", str(model), "-c", str(config), "-n", "song.wav", "-s", "anna", "-d", "cpu"]
        assert inference_main.main(command) == 0
        [result] = Path("results").iterdir()
        results.append(soundfile.read(result)[0])
        result.unlink()
    assert all(np.array_equal(results[0], other) for other in results[1:]) and np.abs(results[0]).max() > 0


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("half", [False, True])
def test_it_is_a_start_for_training(tmp_path, suffix, half):
    """As G_0.pth, whatever it is inside."""
    clips = make_clips(tmp_path / "dataset", {"a": [40, 50], "b": [60]})
    config = with_train(max_steps=2)
    base = GlowTask(config, clips, clips[:1], CPU).model.state_dict()
    base = {name: tensor + 0.001 for name, tensor in base.items()}
    write_checkpoint(tmp_path / "G_7.pth", {"model": base, "optimizer": {"state": {}}, "iteration": 1})
    compress(tmp_path / "G_7.pth", tmp_path / f"start{suffix}", half=half)
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / f"start{suffix}").rename(folder / "G_0.pth")
    task = GlowTask(config, clips, clips[:1], CPU)
    run = Trainer(task, config.train, folder, DistributedContext(CPU))
    assert not run.state.fresh and run.progress.step == 0
    for name, tensor in task.model.state_dict().items():
        # half precision has 11 bits
        torch.testing.assert_close(tensor, base[name], rtol=1e-3 if half else 0, atol=1e-6 if half else 0)


# --- mistakes


def test_models_of_other_kinds_are_named(tmp_path):
    torch.save({"generator": {"m_source.l_linear.weight": torch.ones(1)}}, tmp_path / "vocoder")
    with pytest.raises(CheckpointError, match="NSF vocoder"):
        compress(tmp_path / "vocoder", tmp_path / "out.pth")
    write_checkpoint(
        tmp_path / "sovits.pth", {"model": {"enc_q.a": torch.ones(1), "flow.flows.0.b": torch.ones(1)}}
    )
    with pytest.raises(
        CheckpointError, match=r"sovits.pth is neither a voice model of Glow-SVC.*so-vits-svc"
    ):
        compress(tmp_path / "sovits.pth", tmp_path / "out.pth")
    write_checkpoint(tmp_path / "a.pth", {"model": {"w": torch.ones(1)}})
    with pytest.raises(CheckpointError, match="nor a diffusion model$"):
        compress(tmp_path / "a.pth", tmp_path / "out.pth")
    write_checkpoint(tmp_path / "b.pth", {"model": 1})
    with pytest.raises(CheckpointError, match="nor a diffusion model$"):
        compress(tmp_path / "b.pth", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_a_model_that_does_not_fit_its_configuration_is_refused(tmp_path):
    path, _ = training_checkpoint(tmp_path / "logs")
    _, other = training_checkpoint(tmp_path / "other", hidden_channels=32)
    with pytest.raises(CheckpointError, match=r"G_8.pth does not fit.*Use the config.json"):
        compress(path, tmp_path / "out.pth", other)
    with pytest.raises(ConfigError, match="does not exist"):
        compress(path, tmp_path / "out.pth", tmp_path / "none.json")
    assert not (tmp_path / "out.pth").exists()


def test_the_command_says_what_became_of_it(tmp_path, capsys):
    path, config = training_checkpoint(tmp_path)
    assert compress_model.main(["-c", str(config), "-i", str(path), "-hf"]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "G_8_release.pth").is_file()
    for text in (
        "G_8_release.pth: voice model",
        "before",
        "after",
        f"it fits {config}",
        "half precision moves",
    ):
        assert text in printed
    path.rename(tmp_path / "alone.pth")
    config.unlink()
    assert (
        compress_model.main(["-i", str(tmp_path / "alone.pth"), "-o", str(tmp_path / "a b.safetensors")]) == 0
    )
    assert "none was checked" in capsys.readouterr().out
    assert load_file(tmp_path / "a b.safetensors")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-i", "none.pth"], "none.pth does not exist"),
        (["-i", "G_8.pth", "-o", "G_8.pth"], "is the model itself"),
        (["-i", "G_8.pth", "-c", "none.json"], "none.json does not exist"),
        (["-i", "config.json"], "config.json is a JSON file"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, args, message):
    training_checkpoint(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert compress_model.main(args) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("compress_model.py: ") and message in line
