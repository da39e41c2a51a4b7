"""ONNX files that would run forever or fill the memory are refused before onnxruntime sees them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modules.common.errors import CheckpointError
from modules.onnx.session import open_session
from modules.onnx.validate import check_file
from tests.support.fuzzing import ROOM, in_children

ROOT = Path(__file__).parents[3]
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def info(name, kind=TensorProto.FLOAT, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def write(path, nodes, initializers=(), functions=()):
    arrays = [numpy_helper.from_array(np.array(values), name) for name, values in dict(initializers).items()]
    graph = helper.make_graph(nodes, "g", [info("x", shape=["n"])], [info("y")], arrays)
    onnx.save(helper.make_model(graph, opset_imports=OPSETS, functions=functions, ir_version=8), path)
    return path


def doubling(n):
    """Functions that each call the one before twice."""
    functions, inner = [], ("Neg", "")
    for name in (f"f{number}" for number in range(n)):
        calls = [helper.make_node(inner[0], [a], [b], domain=inner[1]) for a, b in ("ab", "bc")]
        functions.append(helper.make_function("own", name, ["a"], ["c"], calls, OPSETS))
        inner = (name, "own")
    return functions


def loop():
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [info("i", TensorProto.INT64, []), info("going", TensorProto.BOOL, []), info("v")],
        [info("on", TensorProto.BOOL, []), info("w")],
    )
    return helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)


def node(kind, *inputs, **attributes):
    return helper.make_node(kind, inputs, ["y"], **attributes)


def size(*values):
    return helper.make_node("Constant", [], ["size"], value_ints=list(values))


REFUSED = {
    "functions": (([node("f24", "x", domain="own")], (), doubling(25)), "holds functions"),
    "a loop": (([loop()], {"yes": True}), "Loop in it may run forever"),
    "a constant": (([node("ConstantOfShape", "size")], {"size": [2**33]}), "its ConstantOfShape makes"),
    "two sides": (([size(2**12, 2**13), node("ConstantOfShape", "size")],), "its ConstantOfShape makes"),
    "an expansion": (([size(2**33), node("Expand", "x", "size")],), "its Expand makes"),
    "noise": (([node("RandomNormal", shape=[2**33])],), "its RandomNormal makes"),
    "another file": (([node("Add", "x", "far")], {"far": [1.0]}), "from another file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(tmp_path, name):
    arguments, message = REFUSED[name]
    path = write(tmp_path / "x.onnx", *arguments)
    if "file" in name:
        model = onnx.load(path)
        model.graph.initializer[0].data_location = TensorProto.EXTERNAL
        path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=message) as refusal:
        check_file(path)
    assert str(path) in str(refusal.value) and str(refusal.value).isprintable()


def test_branches_and_small_constants_are_read(tmp_path):
    branch = helper.make_graph([helper.make_node("Neg", ["x"], ["z"])], "b", [], [info("z")])
    nodes = [
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
        size(3, 2),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
    ]
    session = open_session(write(tmp_path / "x.onnx", nodes, {"yes": True}))
    np.testing.assert_array_equal(session.run(["y"], {"x": np.ones(3, np.float32)})[0], -np.ones(3))


GROWING = """
import sys
import numpy as np
from modules.onnx import session
session._limit = lambda: 100 << 20
small, large = (session.open_session(session.Path(path)) for path in sys.argv[1:])
for graph in (large, small, large):
    try:
        print(session.run(graph, {"x": np.ones(1000, np.float32)}, "graph")[0].shape)
    except session.CheckpointError as error:
        print(error)
"""


def test_a_graph_that_grows_while_it_runs_is_stopped(tmp_path):
    """What its inputs become follows from no constant: doubled fourteen times, 4 kB are 64 MB twice."""
    paths = []
    for n in (4, 16):
        names = ["x", *(f"a{i}" for i in range(n - 1)), "y"]
        nodes = [
            helper.make_node("Concat", [a, a], [b], axis=0) for a, b in zip(names, names[1:], strict=False)
        ]
        paths.append(str(write(tmp_path / f"{n}.onnx", nodes)))
    done = subprocess.run(
        [sys.executable, "-c", GROWING, *paths], cwd=ROOT, capture_output=True, text=True, check=True
    )
    refused = "graph: it needs more than 100 MB of memory, the most that graphs get here"
    assert done.stdout.splitlines() == [refused, "(16000,)", refused]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
def test_empty_parts_cost_no_memory(tmp_path):
    path, n = tmp_path / "x.onnx", 1 << 21

    def check(data):
        path.write_bytes(data)
        try:
            check_file(path)
        except CheckpointError as error:
            return [str(error)]
        return []

    (result,) = in_children(check, [b"\x3a\x80\x80\x80\x02" + b"\x0a\x00" * n])  # nodes of a graph of 4 MB
    assert "more parts than a graph" in result["refused"][0] and result["grown"] < ROOM
