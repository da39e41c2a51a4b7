"""Published model files, made here: the goldens' reduced models in the published containers.

Gigabytes of weights cannot be committed; these files have the published layout,
down to the pickled fairseq classes, with tensors filled by name. Whatever reads
them reads the real ones.
"""

from __future__ import annotations

import json
import math
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tests.support.golden_cases import fill, load_case

ENCODER_CASES = {
    "vec768l12": "encoder_vec768l12",
    "vec256l9": "encoder_vec256l9",
    "hubertsoft": "encoder_hubertsoft",
    "cnhubertlarge": "encoder_cnhubertlarge",
    "wavlmbase+": "encoder_wavlmbase",
    "dphubert": "encoder_dphubert",
    "whisper-ppg": "encoder_whisper_ppg",
    "whisper-ppg-large": "encoder_whisper_ppg_large",
    "vec256l9-onnx": "encoder_onnx",
    "vec256l12-onnx": "encoder_onnx",
    "vec768l9-onnx": "encoder_onnx",
    "vec768l12-onnx": "encoder_onnx",
    "hubertsoft-onnx": "encoder_onnx",
}
VOCODER_CASES = {
    "nsf-hifigan": "nsf_hifigan",
    "nsf-hifigan-log10": "nsf_hifigan",
    "nsf-snake-hifigan": "nsf_snake_hifigan",
}


@contextmanager
def foreign_classes() -> Iterator[dict[str, type]]:
    """Let the classes that fairseq pickles exist for as long as a file is written."""
    names = {
        "fairseq.data.dictionary": "Dictionary",
        "fairseq.meters": "AverageMeter",
        "omegaconf.dictconfig": "DictConfig",
    }
    before = dict(sys.modules)
    made = {}
    for module, name in names.items():
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            path = ".".join(parts[:depth])
            sys.modules[path] = types.ModuleType(path)
        made[name] = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, made[name])
    try:
        yield made
    finally:
        for path in set(sys.modules) - set(before):
            del sys.modules[path]
        sys.modules.update(before)


def write_fairseq(
    path: Path, state: dict[str, torch.Tensor], config: dict[str, Any], zipped: bool = True
) -> Path:
    """Write a fairseq checkpoint: model, configuration, pickled objects and an optimizer state."""
    with foreign_classes() as classes:
        dictionary = classes["Dictionary"]()
        symbols = [f"label{index}" for index in range(len(state["label_embs_concat"]))]
        dictionary.symbols, dictionary.count = symbols, [1] * len(symbols)
        dictionary.indices = {symbol: index for index, symbol in enumerate(symbols)}
        meter = classes["AverageMeter"]()
        meter.val = torch.ones(())
        content = {
            "args": None,
            "cfg": config,
            "model": OrderedDict(state),
            "criterion": None,
            "optimizer_history": [
                {
                    "criterion_name": "HubertCriterion",
                    "optimizer_name": "FairseqAdam",
                    "lr_scheduler_state": {"best": None},
                    "num_updates": 1,
                }
            ],
            "task_state": {"dictionaries": [dictionary]},
            "extra_state": {"metrics": meter, "train_iterator": {"epoch": 1}},
            "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(1000)}}},
        }
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def write_encoder(name: str, folder: Path, case_name: str | None = None) -> Path:
    """Write the reduced weights of the encoder ``name`` as it is published; return the file.

    ``case_name`` takes another case than the name's own, in its container.
    """
    case_name = case_name or ENCODER_CASES[name]
    return _WRITERS[case_name](case_name, folder)


def fairseq_config(case_name: str) -> dict[str, Any]:
    """The configuration in a fairseq checkpoint of the case."""
    config = load_case(case_name).manifest["config"]
    return {"model": config["reduced"], "task": config["task"]}


def _fairseq(case_name: str, folder: Path) -> Path:
    state = load_case(case_name).state_dict()
    return write_fairseq(folder / "fairseq.pt", state, fairseq_config(case_name))


def _flat(case_name: str, folder: Path) -> Path:
    state = {f"module.{name}": tensor for name, tensor in load_case(case_name).state_dict().items()}
    torch.save(OrderedDict(state), folder / "soft.pt")
    return folder / "soft.pt"


def _wavlm(case_name: str, folder: Path) -> Path:
    case = load_case(case_name)
    torch.save({"cfg": case.manifest["config"]["reduced"], "model": case.state_dict()}, folder / "wavlm.pt")
    return folder / "wavlm.pt"


def _dphubert(case_name: str, folder: Path) -> Path:
    case = load_case(case_name)
    config = dict(case.manifest["config"]["reduced"])
    config["extractor_conv_layer_config"] = [tuple(layer) for layer in config["extractor_conv_layer_config"]]
    content = {
        "state_dict": case.state_dict(),
        "config": config,
        "distill_linear_projs": OrderedDict({"0.weight": torch.zeros(48, 48), "0.bias": torch.zeros(48)}),
    }
    torch.save(content, folder / "dphubert.pth")
    return folder / "dphubert.pth"


def _whisper(case_name: str, folder: Path) -> Path:
    case = load_case(case_name)
    content = {"dims": case.manifest["config"]["reduced"], "model_state_dict": case.state_dict()}
    torch.save(content, folder / "whisper.pt")
    return folder / "whisper.pt"


def _onnx(case_name: str, folder: Path) -> Path:
    """Write the stand-in graph of the case: one convolution, (1, 1, T) to (1, U, 6)."""
    from onnx import TensorProto, helper, numpy_helper, save

    kernel = fill("fake.conv.weight", (6, 1, 400))
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["source", "weight"], ["bands"], strides=[320]),
            helper.make_node("Transpose", ["bands"], ["embed"], perm=[0, 2, 1]),
        ],
        "stand-in",
        [helper.make_tensor_value_info("source", TensorProto.FLOAT, [1, 1, "n_samples"])],
        [helper.make_tensor_value_info("embed", TensorProto.FLOAT, [1, "n_units", 6])],
        [numpy_helper.from_array(kernel, "weight")],
    )
    # onnxruntime refuses what onnx writes by default
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    save(model, folder / "encoder.onnx")
    return folder / "encoder.onnx"


_WRITERS: dict[str, Callable[[str, Path], Path]] = {
    "encoder_vec768l12": _fairseq,
    "encoder_vec256l9": _fairseq,
    "encoder_cnhubertlarge": _fairseq,
    "encoder_cnhubertlarge_convbias": _fairseq,
    "encoder_hubertsoft": _flat,
    "encoder_wavlmbase": _wavlm,
    "encoder_dphubert": _dphubert,
    "encoder_whisper_ppg": _whisper,
    "encoder_whisper_ppg_large": _whisper,
    "encoder_onnx": _onnx,
}


def write_full_encoder(name: str, folder: Path) -> Path:
    """Write a file of the published size for the encoder ``name``, of small noise; for benchmarks.

    A Whisper file lacks the decoder, which nothing reads. DPHuBERT is written
    unpruned: where the published one was pruned is not known here.
    """
    case_name = ENCODER_CASES[name]
    manifest = load_case(case_name).manifest
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))

    def small(name: str, shape: list[int]) -> torch.Tensor:
        size = math.prod(shape)
        if len(shape) == 1 and name.endswith("weight"):
            return torch.ones(shape)
        return (0.02 * noise).repeat(-(-size // len(noise)))[:size].reshape(shape).half()

    state = {
        key: small(key, shape)
        for key, (shape, _) in manifest["default_state_dict"].items()
        if not key.startswith("decoder.")
    }
    path, config = folder / f"{case_name}.pt", manifest["config"]
    if "whisper" in case_name:
        torch.save({"dims": config["published"], "model_state_dict": state}, path)
    elif case_name == "encoder_hubertsoft":
        torch.save(state, path)
    elif case_name == "encoder_wavlmbase":
        torch.save({"cfg": config["published"], "model": state}, path)
    elif case_name == "encoder_dphubert":
        torch.save({"config": config["unpruned"], "state_dict": state}, path)
    else:
        write_fairseq(path, state, {"model": config["published"], "task": config["task"]})
    return path


def write_vocoder(case_name: str, folder: Path) -> Path:
    """Write the reduced vocoder of a case, with its config.json beside it; return the model's file."""
    case = load_case(case_name)
    state = case.state_dict()
    torch.save({"generator": state, "steps": 1}, folder / "model")
    (folder / "config.json").write_text(json.dumps(case.manifest["config"]["reduced"]), encoding="utf-8")
    return folder / "model"
