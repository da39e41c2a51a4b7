"""Files that do not agree with PyTorch never take their place."""

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import export.check
from export.check import FRAMES, SAMPLES, Graph, compare, example, write
from modules.common.errors import CheckpointError


def make(node="Identity", *extra):
    shape = [1, "n_frames"]
    graph = helper.make_graph(
        [helper.make_node(node, ["f0", *extra], ["y"])],
        "stand-in",
        [helper.make_tensor_value_info("f0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


def described(reference=lambda feed: feed["f0"]):
    return Graph("copy.onnx", nn.Identity(), {"f0": (1, FRAMES)}, ("y", (1, FRAMES)), reference, 4)


@pytest.fixture
def stand_in(monkeypatch):
    """Let the exporter write a graph that copies F0."""
    monkeypatch.setattr(export.check, "write_graph", lambda module, path, **_: onnx.save(make(), path))


def test_equal_graphs_take_their_place_and_one_that_cannot_run_is_one_line(stand_in, tmp_path):
    path = write(described(), tmp_path, {})
    assert path.name == "copy.onnx"
    for result in compare(described(), path, (1, 5)):
        assert result.difference == 0 and 80 <= result.largest <= 800
        assert result.torch_seconds > 0 and result.onnx_seconds > 0
    onnx.save(make("MatMul", "f0"), tmp_path / "copy.onnx")
    with pytest.raises(CheckpointError, match="cannot be run on 3 frames") as caught:
        compare(described(), tmp_path / "copy.onnx", (3,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (lambda feed: feed["f0"] * 1.01, r"copy\.onnx at 1 frames is .* off PyTorch"),
        (lambda feed: feed["f0"] * torch.nan, "off PyTorch"),
        (lambda feed: feed["f0"][:, 1:], r"at 1 frames gives \[1, 1\], PyTorch \[1, 0\]"),
    ],
)
def test_others_do_not(stand_in, tmp_path, reference, message):
    (tmp_path / "copy.onnx").write_bytes(b"the old one")
    with pytest.raises(CheckpointError, match=message):
        write(described(reference), tmp_path, {})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the old one"]


def test_examples_are_what_a_song_could_give():
    names = {"f0": (1, FRAMES), "uv": (1, FRAMES), "speaker": (1, FRAMES, 3), "source_noise": (1, SAMPLES)}
    graph = Graph(
        "x.onnx", nn.Identity(), {**names, "phase": (1, 9)}, ("y", (1,)), lambda feed: feed["f0"], 4
    )
    one, again = example(graph, 50), example(graph, 50)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert 80 <= one["f0"].min() and one["f0"].max() <= 800
    assert set(one["uv"].unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(one["speaker"].sum(2), torch.ones(1, 50))
    assert one["source_noise"].shape == (1, 200) and one["phase"][0, 0] == 0
