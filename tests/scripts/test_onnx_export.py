"""Encoders as ONNX: what is written is read back by the -onnx encoders and gives PyTorch's units."""

import errno
import re
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import export.encoder
import export.graph
import onnx_export
from export import exportable, file_name
from export.check import TOLERANCE
from export.encoder import WindowedGraph, export_encoder
from modules.common.errors import CheckpointError
from modules.common.progress import ProgressEvent
from modules.pretrained.weights import ROOT, WEIGHTS
from tests.support import published
from tests.support.golden_cases import Case, load_case, voice
from tests.vencoder.graphs import encoder_graph
from vencoder import ENCODERS
from vencoder.onnx import OnnxEncoder
from vencoder.windowed import WindowedEncoder

SOFT = "hubertsoft"
# tracing takes its time: the others differ in layers, and in where their norms are
QUICK = (SOFT, "wavlmbase+")
NAMES = [
    *QUICK,
    *(pytest.param(name, marks=pytest.mark.slow) for name in exportable() if name not in QUICK),
]


def shortened(case_name):
    """Return a golden case with as few layers as the encoder may have."""
    case = load_case(case_name)
    n_layers = 12 if "vec" in case_name else 1
    state = {
        name: shape
        for name, shape in case.manifest["state_dict"].items()
        if not (layer := re.search(r"encoder\..*layers\.(\d+)\.", name)) or int(layer[1]) < n_layers
    }
    config = dict(case.manifest["config"])
    if "encoder_num_heads" in config.get("reduced", {}):  # a list for each of its layers
        config["reduced"] = {
            key: value[:n_layers] if isinstance(value, list) and key.startswith("encoder_") else value
            for key, value in config["reduced"].items()
        } | {"encoder_num_layers": n_layers}
    return Case(case.manifest | {"state_dict": state, "config": config}, case.arrays)


def write_short(name, folder):
    if shipped := ENCODERS[name].shipped:
        return ROOT / shipped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "load_case", shortened)
        return published.write_encoder(name, folder)


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory):
    return write_short(SOFT, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def soft(torch_file):
    return ENCODERS.build(SOFT, "cpu", weights=torch_file)


@pytest.fixture(scope="module", params=NAMES)
def pair(request, tmp_path_factory):
    """An encoder, and the folder that its graph was written to by the script."""
    folder = tmp_path_factory.mktemp("onnx")
    weights = write_short(request.param, tmp_path_factory.mktemp("weights"))
    flags = [] if ENCODERS[request.param].shipped else ["--weights", str(weights)]
    assert onnx_export.main(["--encoder", request.param, *flags, "-o", str(folder)]) == 0
    return ENCODERS.build(request.param, "cpu", weights=weights), folder


def test_parity_of_the_exported_graph_with_torch(pair):
    """Any length: one unit, the sample before the second, odd, even, longer than what was traced."""
    encoder, folder = pair
    path = folder / file_name(encoder.name)
    assert list(folder.iterdir()) == [path]
    graph = OnnxEncoder("vec768l12-onnx", weights=path)
    assert graph.ssl_dim == encoder.ssl_dim
    sound = torch.from_numpy(voice(11.2, 16000))
    for n_samples in (400, 401, 719, 720, 8001, 16000, 33333, len(sound)):
        wanted, found = encoder.encode(sound[:n_samples]), graph.encode(sound[:n_samples])
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() <= 1e-3 * wanted.abs().max()
    # the published signature
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [source], [embed] = session.get_inputs(), session.get_outputs()
    assert (source.name, source.type, source.shape) == ("source", "tensor(float)", [1, 1, "n_samples"])
    assert (embed.name, embed.type) == ("embed", "tensor(float)")
    assert embed.shape == [1, "n_units", encoder.ssl_dim]
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["encoder"] == encoder.name and facts["ssl_dim"] == str(encoder.ssl_dim)
    assert facts["centre"] == str(encoder.clock.centre)


def test_the_names_are_those_that_the_onnx_encoders_read():
    assert file_name("vec768l12") == "vec-768-layer-12.onnx"
    assert file_name("vec256l9") == "vec-256-layer-9.onnx"
    assert file_name(SOFT) == "hubert-soft.onnx"
    for name in exportable():
        if f"{name}-onnx" in ENCODERS:
            assert file_name(name) == WEIGHTS[ENCODERS[f"{name}-onnx"].weights].file


def test_normalisation_is_that_of_the_encoder():
    class Network(nn.Module):
        ssl_dim = 1

        def features(self, audio):
            return F.avg_pool1d(audio[:, None], 400, 320).transpose(1, 2)

        def units(self, features, mask=None):
            return features

    class Encoder(WindowedEncoder):
        normalize, padding = True, 40

        def _load(self, path):
            return Network()

    encoder, sound = Encoder("hubertsoft", weights=Path("any")), torch.from_numpy(voice(0.7, 16000))
    found = WindowedGraph(encoder)(sound[None, None])[0].T
    torch.testing.assert_close(found, encoder.encode(sound), rtol=1e-5, atol=1e-6)


@pytest.fixture
def run(script, monkeypatch, tmp_path):
    """Run the script with an empty folder for weights; return the outcome."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    return lambda *args: script(onnx_export.main, *args)


@pytest.fixture
def other_graph(monkeypatch):
    """Let the exporter write a graph of its own making; return a function that chooses it."""

    def choose(**options):
        def write(module, path, *others):
            onnx.save(encoder_graph(**options), path)

        monkeypatch.setattr(export.encoder, "write_graph", write)

    return choose


def test_the_script_says_what_it_does_and_where_the_file_is(
    run, other_graph, torch_file, soft, tmp_path, monkeypatch
):
    # that the comparison passes is not the matter here
    monkeypatch.setenv("GLOW_SVC_PROGRESS", "json")
    other_graph(width=soft.ssl_dim, embed=(1, "u", soft.ssl_dim))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export.encoder, "_compare", lambda encoder, graph: 2.5e-6)
        done = run("--encoder", SOFT, "--weights", torch_file)
    path = tmp_path / "pretrain" / "hubert-soft.onnx"
    assert done.code == 0 and path.is_file()
    stages = [ProgressEvent.from_line(line) for line in done.err.splitlines()]
    assert [event.stage.split()[1] for event in stages if event.done] == ["reading", "tracing", "comparing"]
    assert "2.5e-06" in done.out and str(path) in done.out
    before = path.stat().st_mtime_ns
    done = run("--encoder", SOFT, "--weights", torch_file)
    assert done.code == 0 and "exists already" in done.out and path.stat().st_mtime_ns == before


def test_a_graph_that_gives_other_units_is_named_and_not_written(
    run, other_graph, torch_file, soft, tmp_path, monkeypatch
):
    for width in (soft.ssl_dim, 7):
        other_graph(width=width, embed=(1, "u", width))
        done = run("--encoder", SOFT, "--weights", torch_file)
        assert done.is_mistake("the graph of") and "PyTorch" in done.err
        assert list((tmp_path / "pretrain").iterdir()) == []
    # as many units as the network gives: half of what the padding adds is all that differs
    monkeypatch.setattr(export.encoder, "LENGTHS", (8000,))
    other_graph(width=soft.ssl_dim, embed=(1, "u", soft.ssl_dim))
    monkeypatch.setattr(soft, "padding", 0)
    with pytest.raises(CheckpointError, match=rf"at 8000 samples.*off PyTorch, more than {TOLERANCE:.0e}"):
        export_encoder(soft, tmp_path / "new" / "off.onnx")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_full_disk_and_a_model_that_no_file_can_hold_leave_nothing_behind(
    run, torch_file, tmp_path, monkeypatch
):
    def write(module, path, *others):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(export.encoder, "write_graph", write)
        done = run("--encoder", SOFT, "--weights", torch_file)
    assert done.is_mistake("no space left") and "hubert-soft.onnx" in done.err
    monkeypatch.setattr(export.graph, "_LARGEST", 1000)
    monkeypatch.setattr(torch.onnx, "export", None)
    assert run("--encoder", SOFT, "--weights", torch_file).is_mistake("GB of weights")
    assert list((tmp_path / "pretrain").iterdir()) == []


def test_mistakes_are_one_line(run):
    for args, message in [
        (["hubert"], "unknown speech encoder 'hubert'"),
        (["whisper-ppg"], "windows of 30 s"),
        (["whisper-ppg-large"], "windows of 30 s"),
        (["mfcc"], "has no network"),
        (["vec768l12-onnx"], "already"),
        (["vec768l12", "vec256l9"], "python -m pretrain contentvec"),
        (["vec768l12", "vec256l9", "--weights", "x.pt"], "only that one"),
        (["vec768l12", "--weights", "x.pt"], "x.pt"),
    ]:
        assert run("--encoder", *args).is_mistake(message)
