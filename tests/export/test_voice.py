"""Exported voice models: names, shapes, numbers; and what the script refuses."""

import json
import math

import numpy as np
import onnxruntime
import pytest
import torch

import onnx_export
from diffusion.config import load_diffusion_config
from diffusion.unit2mel import load_unit2mel
from models import GlowSVC
from modules.checkpoint import load_model
from modules.config import load_config
from modules.onnx.manifest import manifest_path, read_manifest
from tests.export.voices import put_diffusion, put_voice
from tests.inference.tiny import SPEAKERS, write_vocoder

TRACKS = {
    "units": [1, 12, "n_frames"],
    "f0": [1, "n_frames"],
    "uv": [1, "n_frames"],
    "speaker": [1, "n_frames", 2],
    "volume": [1, "n_frames"],
}
MEL = [1, 128, "n_frames"]
SOURCE = {"source_noise": [1, "n_samples"], "phase": [1, 9]}
SIGNATURES = {
    "model.onnx": ({**TRACKS, "noise": MEL}, {"mel": MEL}),
    "f0.onnx": (TRACKS, {"sung_f0": [1, "n_frames"]}),
    "vocoder.onnx": ({"mel": MEL, "f0": [1, "n_frames"], **SOURCE}, {"audio": [1, "n_samples"]}),
    "diffusion_encoder.onnx": (
        {name: shape for name, shape in TRACKS.items() if name != "uv"},
        {"condition": [1, 6, "n_frames"]},
    ),
    "diffusion_denoiser.onnx": (
        {"x": MEL, "t": [1], "condition": [1, 6, "n_frames"]},
        {"prediction": MEL},
    ),
}


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def shapes(nodes):
    assert all(node.type == "tensor(float)" for node in nodes)
    return {node.name: node.shape for node in nodes}


@pytest.mark.parametrize("file", SIGNATURES)
def test_names_and_shapes(rich_voice, file):
    graph = session(rich_voice.folder / file)
    inputs, outputs = SIGNATURES[file]
    assert shapes(graph.get_inputs()) == inputs
    assert shapes(graph.get_outputs()) == outputs
    facts = graph.get_modelmeta().custom_metadata_map
    assert facts["encoder"] == "mfcc" and facts["hop_length"] == "512"


def test_a_fused_graph_takes_units_and_gives_sound_and_the_sidecars_say_how_they_fit(
    fused_voice, rich_voice, tmp_path
):
    assert {path.name for path in fused_voice.folder.iterdir()} == {"model.pth", "config.json", "model.onnx"}
    graph = session(fused_voice.folder / "model.onnx")
    one_voice = {name: TRACKS[name] for name in ("units", "f0", "uv")}
    assert shapes(graph.get_inputs()) == {**one_voice, "noise": MEL, **SOURCE}
    assert shapes(graph.get_outputs()) == {"audio": [1, "n_samples"]}
    values = json.loads((rich_voice.folder.parent / "rich.json").read_text(encoding="utf-8"))
    wanted = {"name": "rich", "rate": 44100, "hop": 512, "encoder": "mfcc", "units": 12}
    assert {name: values[name] for name in wanted} == wanted
    assert values["speakers"] == SPEAKERS and values["mix"] and values["volume"] and values["melody"]
    assert not values["fused"] and values["reach"] > 2
    sidecar = read_manifest(rich_voice.folder)
    assert sidecar.diffusion and sidecar.diffusion.max_steps == 1000 and sidecar.diffusion.betas == ()
    config = load_config(rich_voice.folder / "config.json")
    assert sidecar.config.data == config.data and sidecar.config.f0_range == config.f0_range
    assert manifest_path(fused_voice.folder).name == "花 v1.2.json"
    other = read_manifest(fused_voice.folder)
    assert other.fused and not other.melody and other.config.model.n_speakers == 1 and other.diffusion is None
    assert not other.mutes_unvoiced
    for folder, older in ((fused_voice.folder, True), (rich_voice.folder, False)):
        values = json.loads(manifest_path(folder).read_text(encoding="utf-8"))
        del values["mutes_unvoiced"]
        (tmp_path / f"{folder.name}.json").write_text(json.dumps(values), encoding="utf-8")
        assert read_manifest(tmp_path / folder.name).mutes_unvoiced == older


def test_the_mel_is_that_of_the_model_in_the_file(rich_voice):
    """The checkpoint is in half precision; the graph is not, and gives what the loaded model gives."""
    config = load_config(rich_voice.folder / "config.json")
    model = GlowSVC(config.model).eval()
    load_model(model, rich_voice.folder / "model.pth")
    random = np.random.default_rng(3)
    units = random.standard_normal((1, 12, 333), np.float32)
    f0 = np.full((1, 333), 261.0, np.float32)
    uv, volume = np.ones_like(f0), np.full_like(f0, 0.1)
    noise = random.standard_normal((1, 128, 333), np.float32)
    # anna becomes 花子
    speaker = np.stack([np.linspace(1, 0, 333), np.linspace(0, 1, 333)], 1)[None].astype(np.float32)
    feed = {"units": units, "f0": f0, "uv": uv, "noise": noise, "speaker": speaker, "volume": volume}
    [mel] = session(rich_voice.folder / "model.onnx").run(None, feed)
    tensors = [torch.from_numpy(feed[name]) for name in ("units", "f0", "uv", "speaker", "volume")]
    wanted, _ = model.infer(*tensors, noise_scale=1.0, noise=torch.from_numpy(noise))
    np.testing.assert_allclose(mel, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shallow", [True, False])
def test_diffusion_can_be_sampled_outside(rich_voice, shallow):
    """DDIM in seven lines, asking the two graphs, ends where PyTorch ends."""
    config = load_diffusion_config(rich_voice.folder / "diffusion.yaml")
    model = load_unit2mel(rich_voice.folder / "diffusion.pt", config)
    random = np.random.default_rng(4)
    noise = random.standard_normal((1, 128, 40), np.float32)
    mel = random.standard_normal((1, 128, 40), np.float32) - 5 if shallow else None
    units = random.standard_normal((1, 12, 40), np.float32)
    f0, volume = np.full((1, 40), 200, np.float32), np.full((1, 40), 0.1, np.float32)
    k_step, speedup = (100, 10) if shallow else (1000, 100)
    wanted = model.infer(
        torch.from_numpy(units),
        torch.from_numpy(f0),
        torch.from_numpy(volume),
        torch.tensor([1]),
        mel=None if mel is None else torch.from_numpy(mel),
        k_step=k_step,
        method="ddim",
        speedup=speedup,
        noise=torch.from_numpy(noise),
    )

    speaker = np.tile(np.array([0, 1], np.float32), (1, 40, 1))
    encoder = session(rich_voice.folder / "diffusion_encoder.onnx")
    [condition] = encoder.run(None, {"units": units, "f0": f0, "volume": volume, "speaker": speaker})
    denoiser = session(rich_voice.folder / "diffusion_denoiser.onnx")
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))  # share of the mel in the variance
    steps = list(range(0, k_step, speedup))[::-1]
    x = noise
    if mel is not None:
        share = kept[k_step - 1]
        x = math.sqrt(share) * ((mel + 12) / 14 * 2 - 1) + math.sqrt(1 - share) * noise
    for now, then in zip(steps, steps[1:], strict=False):
        feed = {"x": x.astype(np.float32), "t": np.array([now], np.float32), "condition": condition}
        [predicted] = denoiser.run(None, feed)
        clean = (x - math.sqrt(1 - kept[now]) * predicted) / math.sqrt(kept[now])
        x = math.sqrt(kept[then]) * clean + math.sqrt(1 - kept[then]) * predicted
    # ten steps of float32, the first of which divides by a small number
    np.testing.assert_allclose((x + 1) / 2 * 14 - 12, wanted, rtol=0, atol=2e-2 if not shallow else 1e-3)


def test_check_prints_the_difference_and_the_speed_of_every_output(rich_voice):
    lines = rich_voice.printed.splitlines()
    for file, (_, outputs) in SIGNATURES.items():
        [name] = outputs
        begin = next(i for i, line in enumerate(lines) if line.endswith(f"{file}, output {name!r}"))
        table = [line.split() for line in lines[begin + 2 : begin + 8]]
        assert [int(row[0]) for row in table] == [1, 2, 3, 86, 501, 1292]
        assert all(float(row[1]) <= 1e-5 * max(1, float(row[2])) for row in table)
        assert lines[begin + 8].startswith(f"largest difference of {name!r}: ")


def edit(path, before, after):
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture
def refuses(script, monkeypatch, tmp_path):
    """Check that the script refuses its flags in one line and writes nothing."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))

    def check(message, *flags):
        before = sorted(tmp_path.rglob("*"))
        assert script(onnx_export.main, *flags).is_mistake(message)
        assert sorted(tmp_path.rglob("*")) == before

    return check


def test_missing_parts_and_files_and_flags_of_the_other_kind_are_refused_before_any_work(refuses, tmp_path):
    for number, (model, flags, message) in enumerate(
        (
            ({}, ["--fuse"], "'world' of this voice model is not a network; remove --fuse"),
            ({"use_automatic_f0_prediction": False}, ["-a"], "without automatic F0 prediction; remove -a"),
            ({"ssl_dim": 13}, [], "units of 13 channels, but encoder 'mfcc' gives 12"),
            ({"vocoder_name": "nsf-hifigan"}, [], "python -m pretrain nsf-hifigan"),
            ({"vocoder_name": "griffin-lim"}, [], "unknown vocoder 'griffin-lim'"),
        )
    ):
        put_voice(tmp_path / "checkpoints" / str(number), **model)
        refuses(message, "-n", number, *flags)
    folder = tmp_path / "checkpoints" / "x"
    refuses("put the voice model there, as checkpoints/x/model.pth", "-n", "x")
    for file in ("model.pth", "config.json"):
        (put_voice(folder) / file).unlink()
        refuses(f"checkpoints/x/{file} does not exist", "-n", "x")
    edit(put_voice(folder) / "config.json", '"n_speakers": 2', '"n_speakers": 3')
    refuses("Use the config.json saved beside the checkpoint", "-n", "x")
    refuses("-o and --weights belong to --encoder", "-n", "x", "-o", "there")
    refuses("are for a voice model", "--encoder", "vec768l12", "--check")
    refuses("are for a voice model", "--encoder", "vec768l12", "--fuse")


def test_a_diffusion_model_that_does_not_fit_is_refused(refuses, tmp_path):
    write_vocoder(tmp_path / "pretrain")
    folder = put_voice(tmp_path / "checkpoints" / "x", vocoder_name="nsf-hifigan")
    for before, after, message in (
        ("encoder: mfcc", "encoder: mfcc\n  block_size: 256", "hop length (block_size) is 256"),
        ("encoder: mfcc", "encoder: vec256l9", "speech encoder is vec256l9"),
        ("n_spk: 2", "n_spk: 2\n  use_speaker_encoder: true", "embeddings"),
    ):
        put_diffusion(folder)
        edit(folder / "diffusion.yaml", before, after)
        refuses(message, "-n", "x")
    put_diffusion(folder)
    refuses("--fuse: the diffusion model", "-n", "x", "--fuse")
    (folder / "diffusion.yaml").rename(folder / "kept")
    refuses("diffusion.yaml does not exist", "-n", "x")
    (folder / "kept").rename(folder / "diffusion.yaml")
    (folder / "diffusion.pt").unlink()
    refuses("diffusion.pt is not; put it there too", "-n", "x")
