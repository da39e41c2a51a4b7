"""ONNX encoders: the published wrapper's numbers, graphs of other exporters, and malicious files."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import vencoder.onnx
from modules.common.errors import CheckpointError
from tests.support.golden_cases import load_case
from tests.vencoder.graphs import WIDTH, encoder_graph, make_external
from tests.vencoder.reduced import clip
from vencoder.onnx import OnnxEncoder

AUDIO = clip(1.3)
WANTED = torch.from_numpy(load_case("encoder_onnx")["out_1.3"][0])


@pytest.fixture
def write(tmp_path):
    def save(model):
        path = tmp_path / "encoder.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return save


def test_parity_of_stereo(reduced):
    case, mono = load_case("encoder_onnx"), clip(0.5)
    units = reduced("vec768l12-onnx").encode(torch.stack([mono, 0.5 * mono], 1))
    np.testing.assert_allclose(units, case["out_stereo_0.5"][0], **case.manifest["tolerance"])


def test_graphs_of_other_exporters_and_of_half_precision_give_the_same_units(write):
    for options in (
        {"source": (1, "n")},
        {"source": ("batch", "channel", "n")},
        {"source": None},
        {"transposed": True, "embed": (1, WIDTH, "u")},
        {"transposed": True, "embed": ("a", "b", "c")},
        {"embed": None},
        {"mask": ("padding_mask", TensorProto.BOOL)},
        {"mask": ("attention_mask", TensorProto.INT64)},
        {"mask": ("mask", TensorProto.FLOAT)},
        {"ir_version": 13, "opset": 21},  # onnx's defaults are newer than onnxruntime's; these are supported
    ):
        encoder = OnnxEncoder("vec768l12-onnx", weights=write(encoder_graph(**options)))
        torch.testing.assert_close(encoder.encode(AUDIO), WANTED, rtol=1e-5, atol=1e-5, msg=str(options))
    units = OnnxEncoder("vec768l12-onnx", weights=write(encoder_graph(dtype="float16"))).encode(AUDIO)
    # half precision has 11 bits, and a sum of 400 products loses some
    torch.testing.assert_close(units, WANTED, rtol=0, atol=2e-3)


def test_as_many_units_as_channels_are_not_mixed_up(write):
    """With 64 units of 64 channels no single shape tells which axis is which."""
    for transposed, embed in ((False, (1, "u", 64)), (True, (1, 64, "u")), (True, ("a", "b", "c"))):
        model = encoder_graph(width=64, transposed=transposed, embed=embed)
        encoder = OnnxEncoder("vec768l12-onnx", weights=write(model))
        assert encoder.encode(clip(1.3)).shape == (64, 64)
        # units of silence are zero in every channel: columns
        quiet = encoder.encode(torch.cat([torch.ones(400), torch.zeros(63 * 320)]))
        assert quiet.shape == (64, 64)
        assert (quiet[:, 0] != 0).all() and (quiet[:, 2:] == 0).all()


def test_arrays_need_no_pytorch(write, tmp_path):
    np.save(tmp_path / "audio.npy", AUDIO.numpy())
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from pathlib import Path; from vencoder import ENCODERS\n"
        "encoder = ENCODERS.build('hubertsoft-onnx', weights=Path(sys.argv[1]))\n"
        "np.save('units.npy', encoder.units(np.load('audio.npy')))\n"
        "assert encoder.units(np.ones(7, np.float32)).shape == (6, 1)"
    )
    path = write(encoder_graph())
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", code, str(path)]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)})
    np.testing.assert_allclose(np.load(tmp_path / "units.npy"), WANTED, rtol=1e-5, atol=1e-5)


def test_long_audio_is_computed_in_windows(write, monkeypatch):
    audio = torch.randn(16000 * 100 + 123, generator=torch.Generator().manual_seed(0))
    encoder = OnnxEncoder("vec768l12-onnx", weights=write(encoder_graph()))
    lengths = []
    run = vencoder.onnx.run
    monkeypatch.setattr(
        vencoder.onnx, "run", lambda *args: lengths.append(args[1]["any name"].size) or run(*args)
    )
    units = encoder.encode(audio)
    assert len(lengths) > 1 and max(lengths) <= 40.1 * 16000
    monkeypatch.setattr(vencoder.onnx, "_LONGEST", 10**6)
    torch.testing.assert_close(units, encoder.encode(audio), rtol=0, atol=1e-5)


def test_a_file_in_the_published_place_must_be_this_encoder(write, monkeypatch, tmp_path):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    path = tmp_path / "vec-256-layer-9.onnx"
    model = encoder_graph(width=256, embed=(1, "u", 256))
    path.write_bytes(model.SerializeToString())
    assert OnnxEncoder("vec256l9-onnx").ssl_dim == 256
    helper.set_model_props(model, {"encoder": "hubertsoft"})
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="is the encoder 'hubertsoft'"):
        OnnxEncoder("vec256l9-onnx")


def test_other_graphs_and_units_that_are_not_finite_are_refused(write):
    for options, found in (
        ({"source": (1, 80, "n")}, r"\[1, 80, 'n'\]"),
        ({"source": (1, 1, 16000)}, r"\[1, 1, 16000\]"),
        ({"source": (4, 1, "n")}, r"\[4, 1, 'n'\]"),
        ({"stride": 640}, r"give \[1, 12, 6\]"),
        ({"stride": 160}, r"give \[1, 48, 6\]"),
        ({"mask": ("speaker", TensorProto.INT64)}, "speaker"),
        ({"mask": ("mask", TensorProto.STRING)}, "string"),
        ({"source": (1, 1, "n"), "mask": ("speaker_mask", TensorProto.INT8)}, "speaker_mask tensor.int8"),
    ):
        with pytest.raises(CheckpointError, match=f"not a speech encoder.*{found}.*expected is"):
            OnnxEncoder("vec768l12-onnx", weights=write(encoder_graph(**options)))
    model = encoder_graph()
    model.graph.node.append(helper.make_node("Shape", ["embed"], ["shape"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("shape", TensorProto.INT64, [3]))
    with pytest.raises(CheckpointError, match="shape tensor.int64"):
        OnnxEncoder("vec768l12-onnx", weights=write(model))
    del model.graph.output[:]
    with pytest.raises(CheckpointError, match="output is nothing"):
        OnnxEncoder("vec768l12-onnx", weights=write(model))
    model = encoder_graph()
    kernel = np.full((WIDTH, 1, 400), np.inf, np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel, "weight"))
    encoder = OnnxEncoder("vec768l12-onnx", weights=write(model))
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        encoder.encode(torch.ones(4000))


@pytest.mark.parametrize("location", ["../../../../etc/passwd", "/etc/passwd", "beside.bin"])
@pytest.mark.parametrize("where", ["weight", "constant", "branch"])
def test_a_graph_that_would_read_another_file_is_refused(location, where, write, tmp_path):
    (tmp_path / "beside.bin").write_bytes(bytes(10000))
    model = encoder_graph()
    if where == "weight":
        make_external(model.graph.initializer[0], location)
    else:
        hidden = helper.make_node("Constant", [], ["unused"], value=numpy_helper.from_array(np.ones(9)))
        make_external(hidden.attribute[0].t, location)
        branch = helper.make_graph([hidden], "branch", [], [])
        inside = helper.make_node("If", ["condition"], ["x"], then_branch=branch, else_branch=branch)
        model.graph.node.append(inside if where == "branch" else hidden)
    with pytest.raises(CheckpointError, match="refused.*another file.*" + location.replace(".", r"\.")):
        OnnxEncoder("vec768l12-onnx", weights=write(model))


def break_graph(model, kind):
    if kind == "custom operators":
        model.opset_import.append(helper.make_opsetid("evil.ops", 1))
        model.graph.node[0].domain, model.graph.node[0].op_type = "evil.ops", "Run"
    elif kind == "more numbers than there are":
        model.graph.initializer[0].dims[0] = 10**15
    elif kind == "unknown operator":
        model.graph.node[0].op_type = "Nope"
    elif kind == "too new":
        model.opset_import[0].version = 9999
    elif kind == "unknown format":
        model.ir_version = 9999
    content = model.SerializeToString()
    return content.replace(b"any name", b"\xee\xff\xfe" * 2 + b"\xee\xff") if kind == "no text" else content


def test_a_broken_graph_is_refused_in_one_line(write, capfd):
    for kind, message in (
        ("custom operators", "evil.ops"),
        ("more numbers than there are", "cannot be read"),
        ("unknown operator", "Nope"),
        ("no text", "damaged"),
        ("too new", "update onnxruntime"),
        ("unknown format", "update onnxruntime"),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            OnnxEncoder("vec768l12-onnx", weights=write(break_graph(encoder_graph(), kind)))
        assert "\n" not in str(caught.value) and "encoder.onnx" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_flipped_bits_never_crash(write):
    whole = bytearray(encoder_graph().SerializeToString())
    random = np.random.default_rng(1)
    for _ in range(60):
        flipped = bytearray(whole)
        # most of the file is weights, which may be anything; the rest matters
        for place in random.integers(0, 400, 3):
            flipped[place - 200] ^= 1 << random.integers(8)
        try:
            OnnxEncoder("vec768l12-onnx", weights=write(bytes(flipped)))
        except CheckpointError as error:
            assert "\n" not in str(error)


@pytest.fixture
def requested(monkeypatch):
    """Providers and threads of every session that is opened; CUDA is broken if ``works`` is False."""
    seen, real = SimpleNamespace(providers=[], threads=[], works=True), onnxruntime.InferenceSession

    def session(file, options, providers, **others):
        seen.providers.append(providers)
        seen.threads.append(options.intra_op_num_threads)
        if not seen.works and len(providers) > 1:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return real(file, options, providers=["CPUExecutionProvider"], **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return seen


@pytest.mark.parametrize(
    ("cuda", "why"),
    [("absent", "does not support cuda"), ("without libraries", "libraries"), ("broken", "CUDA failure 100")],
)
def test_cuda_is_used_if_available_and_its_absence_is_logged(
    cuda, why, write, requested, monkeypatch, caplog
):
    requested.works = cuda != "broken"
    if cuda != "absent":
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    path = write(encoder_graph())
    for device, index in (("cuda", 0), ("cuda:1", 1), (torch.device("cuda", 1), 1)):
        requested.providers.clear()
        caplog.clear()
        OnnxEncoder("vec768l12-onnx", device, path)
        both = [("CUDAExecutionProvider", {"device_id": index}), "CPUExecutionProvider"]
        expected = {"absent": [], "without libraries": [both], "broken": [both, ["CPUExecutionProvider"]]}
        assert requested.providers == (expected[cuda] or [["CPUExecutionProvider"]])
        [record] = caplog.records
        assert "runs on the CPU" in record.getMessage() and why in record.getMessage()


def test_the_cpu_is_not_worth_a_message_and_threads_are_torch_s(write, requested, caplog):
    OnnxEncoder("vec768l12-onnx", "cpu", write(encoder_graph()))
    assert requested.threads == [torch.get_num_threads()] and not caplog.records
