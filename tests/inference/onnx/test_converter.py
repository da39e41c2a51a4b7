"""Converting without PyTorch: the same sound as with it, and nothing of it in memory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import helper, numpy_helper

import inference_main
from cluster.index_builder import build_index
from cluster.unit_reader import ArrayFrames
from inference.converter import Converter
from inference.onnx.converter import OnnxConverter
from inference.options import ConvertOptions
from modules.common.errors import CheckpointError, ConfigError, MissingWeightsError
from modules.onnx.manifest import manifest_path
from tests.inference.tiny import RATE, read, write_song
from tests.support.golden_cases import voice
from tests.support.imports import HEAVY
from tests.vencoder.graphs import make_external

ROOT = Path(inference_main.__file__).parent


@pytest.fixture(autouse=True)
def pretrain(rich_voice, monkeypatch):
    """Both voice models have the same vocoder."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(rich_voice.pretrain))


@pytest.fixture
def copy(rich_voice, tmp_path):
    """A copy of the voice model to break, with changes of its sidecar."""

    def make(**changes) -> Path:
        folder = tmp_path / "checkpoints" / "x"
        shutil.copytree(rich_voice.folder, folder, dirs_exist_ok=True)
        values = json.loads(manifest_path(rich_voice.folder).read_text(encoding="utf-8"))
        manifest_path(folder).write_text(json.dumps({**values, **changes}), encoding="utf-8")
        if "vocoder" in changes:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            config["model"]["vocoder_name"] = changes["vocoder"]
            (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    audio = np.concatenate([voice(2, RATE), np.zeros(RATE // 2, np.float32), voice(1.3, RATE)])
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", audio)


def options(folder, **changes):
    return ConvertOptions(
        onnx=str(folder),
        model_path=str(folder / "model.pth"),
        config_path=str(folder / "config.json"),
        device="cpu",
        wav_format="wav",
        **{"precision": "fp32", **changes},
    )


def both(folder, song, tmp_path, speaker="anna", **changes):
    """Results without PyTorch and with it."""
    return [
        read(kind(options(folder, **changes)).convert(song, tmp_path / "result.wav", speaker).path)
        for kind in (OnnxConverter, Converter)
    ]


def assert_same(found, wanted):
    assert found.shape == wanted.shape
    # 16 bits hide most of it: float32 in another order now and then rounds to the next number
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1.01 / 2**15)
    assert np.abs(wanted).max() > 1e-3


@pytest.mark.parametrize("tracker", ["pm", "dio", "harvest"])
def test_it_gives_what_pytorch_gives(rich_voice, song, tmp_path, tracker):
    assert_same(*both(rich_voice.folder, song, tmp_path, "花子", f0_predictor=tracker, noise_scale=0.7))


def test_units_are_aligned_as_with_pytorch(rich_voice, copy, song, tmp_path):
    """In slices that begin anywhere."""
    found = {}
    for mode in ("nearest", "time"):
        values = json.loads(manifest_path(rich_voice.folder).read_text(encoding="utf-8"))
        assert values["unit_clock"]["centre"] == 160
        folder = copy(data={**values["data"], "unit_interpolate_mode": mode})
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config.setdefault("data", {})["unit_interpolate_mode"] = mode
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        found[mode], wanted = both(folder, song, tmp_path, clip=0.9)
        assert_same(found[mode], wanted)
    assert np.abs(found["time"] - found["nearest"]).max() > 1e-3


def test_a_fused_graph_and_the_world_vocoder_give_it_too(fused_voice, copy, song, tmp_path):
    assert_same(*both(fused_voice.folder, song, tmp_path))
    folder = copy(vocoder="world", reach=0)
    (folder / "vocoder.onnx").unlink()
    assert_same(*both(folder, song, tmp_path))


def test_slices_join_as_with_pytorch(rich_voice, fused_voice, copy, song, tmp_path):
    """Phase and noise go on from slice to slice, in each vocoder."""
    world = copy(vocoder="world", reach=0)
    for folder in (rich_voice.folder, fused_voice.folder, world):
        for cuts in ({"clip": 0.9}, {"clip": 0.9, "linear_gradient": 0.3}):
            assert_same(*both(folder, song, tmp_path, **cuts))


def test_a_speaker_mix_synthesis_in_pieces_and_predicted_pitch(rich_voice, song, tmp_path, monkeypatch):
    mix = tmp_path / "mix.json"
    mix.write_text(json.dumps({"0": [[0, 1, 1, 0]], "1": [[0, 1, 0, 1]]}), encoding="utf-8")
    found, wanted = both(rich_voice.folder, song, tmp_path, use_spk_mix=True, spk_mix_file=str(mix))
    assert_same(found, wanted)
    alone, _ = both(rich_voice.folder, song, tmp_path)
    assert np.abs(found - alone).max() > 1e-3
    converter = OnnxConverter(options(rich_voice.folder))
    converter._vocoder.piece = 50
    assert_same(read(converter.convert(song, tmp_path / "pieces.wav", "anna").path), alone)
    muted, wanted = both(rich_voice.folder, song, tmp_path, mute_unvoiced=True)
    assert_same(muted, wanted)
    assert np.abs(muted - alone).max() > 1e-3
    found, wanted = both(rich_voice.folder, song, tmp_path, auto_predict_f0=True)
    # a tenth of a millihertz of pitch is a phase by the end of a slice
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.02 * np.sqrt(np.mean(wanted**2))


@pytest.mark.parametrize(
    ("missing", "arguments", "name"),
    [
        (False, ["-f0p", "dio"], "0key_anna_glow_dio"),
        (True, ["-f0p", "pm", "-a", "-lea", "0.5"], "auto_anna_glow_pm_lea0.5"),
        (True, ["-fr", "-cr", "0.5", "-cm", "index.pkl"], "0key_anna_0.5_glow_swift-f0_fr"),
    ],
    ids=str,
)
def test_pytorch_is_neither_imported_nor_missed(rich_voice, song, tmp_path, missing, arguments, name):
    """The script itself, where PyTorch is installed and where importing it fails."""
    own = np.random.default_rng(0).standard_normal((600, 12), np.float32)
    build_index(tmp_path / "index.pkl", {"anna": ArrayFrames(own)}, {"anna": 0, "花子": 1}, "mfcc")
    unneeded = sorted(HEAVY - {"onnx", "onnxruntime"} - ({"faiss"} if "-fr" in arguments else set()))
    code = (
        f"import sys; {missing} and sys.modules.update(torch=None)\n"
        "import inference_main; code = inference_main.main(sys.argv[1:])\n"
        f"heavy = {{name for name in {unneeded} if sys.modules.get(name)}}\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-W", "error", "-c", code, "--onnx", str(rich_voice.folder), "-wf", "wav"]
    done = subprocess.run(
        [*command, "-n", str(song), "-s", "anna", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = tmp_path / "results" / f"song_{name}.wav"
    assert soundfile.info(result).frames == soundfile.info(song).frames
    assert "conversion" in soundfile.SoundFile(result).comment


def test_options_that_need_pytorch_or_another_graph_are_refused(rich_voice, fused_voice):
    for changes, message in (
        ({"f0_predictor": "crepe"}, "-f0p: crepe needs PyTorch; .*pm, dio, harvest, swift-f0$"),
        ({"enhance": True}, "-eh needs PyTorch"),
        ({"shallow_diffusion": True}, "-shd and -od need PyTorch"),
        ({"only_diffusion": True}, "-shd and -od need PyTorch"),
        ({"cluster_infer_ratio": 0.5}, "-cr: k-means files are read with PyTorch; .*-fr"),
        ({"precision": "bf16"}, "-pr: .*remove -pr bf16"),
    ):
        with pytest.raises(ConfigError, match=message):
            OnnxConverter(options(rich_voice.folder, **changes))
    with pytest.raises(ConfigError, match=r"-mu: the vocoder is inside .*model\.onnx; remove -mu"):
        OnnxConverter(options(fused_voice.folder, mute_unvoiced=True))
    with pytest.raises(ConfigError, match=r"--formant: the vocoder is inside .*export without --fuse"):
        OnnxConverter(options(fused_voice.folder, formant=2.0))
    with pytest.raises(ConfigError, match=r"-a: .*no f0\.onnx.*onnx_export\.py -n 花 v1\.2 -a"):
        OnnxConverter(options(fused_voice.folder, auto_predict_f0=True))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"encoder": "dphubert"}, ConfigError, "'dphubert' of this voice model needs PyTorch; .*mfcc"),
        ({"encoder": "hubertsoft"}, MissingWeightsError, "hubertsoft-onnx"),  # its twin would do
        (
            {"encoder": "ppg-starter"},
            MissingWeightsError,
            r"ppg-starter\.onnx is missing; write it: python onnx_export\.py --encoder ppg-starter",
        ),
        ({"encoder": "nothing"}, ConfigError, "unknown speech encoder 'nothing'"),
        # graphs and sidecar of two exports
        ({"units": 13}, CheckpointError, r"takes .*units \[1, 12, n\].* lists .*units \[1, 13, n\]"),
        ({"volume": False}, CheckpointError, "not exported together. Export the voice model again"),
        ({"fused": True}, CheckpointError, "not exported together"),
        ({"n_speakers": 1, "speakers": {}}, CheckpointError, "not exported together"),
    ],
    ids=str,
)
def test_a_sidecar_that_does_not_fit_is_refused(copy, changes, error, message):
    with pytest.raises(error, match=message):
        OnnxConverter(options(copy(**changes)))


def test_graphs_that_are_missing_read_another_file_or_give_nan_are_refused_in_one_line(copy, song, tmp_path):
    folder = copy()
    model = onnx.load(folder / "model.onnx")
    make_external(model.graph.initializer[0], "/etc/passwd")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="refused.*another file"):
        OnnxConverter(options(folder))
    for file in ("vocoder.onnx", "model.onnx"):
        (copy() / file).unlink()
        with pytest.raises(CheckpointError, match=f"{file} does not exist"):
            OnnxConverter(options(folder))
    folder = copy()
    model = onnx.load(folder / "model.onnx")
    [output] = model.graph.output
    last = next(node for node in model.graph.node if output.name in node.output)
    last.output[list(last.output).index(output.name)] = "before"
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.nan, np.float32), "nan"))
    model.graph.node.append(helper.make_node("Mul", ["before", "nan"], [output.name]))
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(CheckpointError, match=r"model\.onnx gives NaN; export an earlier checkpoint"):
        OnnxConverter(options(folder)).convert(song, tmp_path / "x.wav", "anna")


def test_mistakes_of_the_script_are_one_line(rich_voice, song, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        assert inference_main.main(["-n", str(song), "-s", "anna", *arguments]) == 2
        [line] = capsys.readouterr().err.splitlines()
        return line

    assert "checkpoints/missing.json does not exist" in call("--onnx", "checkpoints/missing")
    assert "onnx_export.py -n missing writes both" in call("--onnx", "checkpoints/missing/")
    assert "the model has no speaker 'bob'" in call("--onnx", str(rich_voice.folder), "-s", "bob")
