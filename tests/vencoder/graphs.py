"""ONNX graphs that stand for speech encoders: the goldens' convolution, in shapes and types of choice."""

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.support.golden_cases import fill

WIDTH = 6
ONNX_TYPES = {"float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE, "float32": TensorProto.FLOAT}


def encoder_graph(
    *,
    source=(1, 1, "n"),
    dtype="float32",
    embed=(1, "u", WIDTH),
    transposed=False,
    stride=320,
    width=WIDTH,
    mask=None,
    ir_version=10,
    opset=20,
) -> ModelProto:
    """A graph with one convolution; onnxruntime refuses the versions that onnx writes by default."""
    element = ONNX_TYPES[dtype]
    kernel = fill("fake.conv.weight", (width, 1, 400)).astype(dtype)
    tensors = {"weight": kernel, "rank 3": np.array([1, 1, -1]), "one": np.array(1, dtype)}
    inputs = [helper.make_tensor_value_info("any name", element, source)]
    nodes = [helper.make_node("Reshape", ["any name", "rank 3"], ["wave"])]
    wave = "wave"
    if mask:
        name, mask_type = mask
        inputs.append(helper.make_tensor_value_info(name, mask_type, [1, "n"]))
        # unchanged by a mask of the right polarity
        nodes.append(helper.make_node("Cast", [name], ["given"], to=element))
        nodes.append(helper.make_node("Sub", ["one", "given"], ["inverse"]))
        keep = "given" if "attention" in name else "inverse"
        nodes.append(helper.make_node("Mul", ["wave", keep], ["masked"]))
        wave = "masked"
    nodes.append(helper.make_node("Conv", [wave, "weight"], ["bands"], strides=[stride]))
    nodes.append(
        helper.make_node("Transpose", ["bands"], ["embed"], perm=[0, 1, 2] if transposed else [0, 2, 1])
    )
    graph = helper.make_graph(
        nodes,
        "stand-in",
        inputs,
        [helper.make_tensor_value_info("embed", element, embed)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)])


def make_external(tensor: TensorProto, location: str) -> None:
    """Let the content of ``tensor`` lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
