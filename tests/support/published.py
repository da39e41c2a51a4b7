"""Published model files, made here: the goldens' reduced models in the published containers.

Gigabytes of weights cannot be committed; these files have the published layout,
down to the pickled fairseq classes, with tensors filled by name. Whatever reads
them reads the real ones.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tests.support.golden_cases import load_case
from vencoder import ENCODERS

ENCODER_CASES = {
    "vec768l12": "encoder_vec768l12",
    "vec256l9": "encoder_vec256l9",
    "hubertsoft": "encoder_hubertsoft",
    "cnhubertlarge": "encoder_cnhubertlarge",
    "wavlmbase+": "encoder_wavlmbase",
    "dphubert": "encoder_dphubert",
    "whisper-ppg": "encoder_whisper_ppg",
    "whisper-ppg-large": "encoder_whisper_ppg_large",
} | {name: "encoder_onnx" for name in ENCODERS if name.endswith("-onnx")}
VOCODER_CASES = {
    "nsf-hifigan": "nsf_hifigan",
    "nsf-hifigan-log10": "nsf_hifigan",
    "nsf-snake-hifigan": "nsf_snake_hifigan",
}


@contextmanager
def foreign_classes() -> Iterator[dict[str, type]]:
    """Let the classes that fairseq pickles exist for as long as a file is written."""
    before, made = dict(sys.modules), {}
    for path in ("fairseq.data.dictionary.Dictionary", "fairseq.meters.AverageMeter"):
        module, _, name = path.rpartition(".")
        for parent in itertools.accumulate(module.split("."), "{}.{}".format):
            sys.modules[parent] = types.ModuleType(parent)
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
        optimizer = {
            "criterion_name": "HubertCriterion",
            "lr_scheduler_state": {"best": None},
            "num_updates": 1,
        }
        content = {
            "args": None,
            "cfg": config,
            "model": OrderedDict(state),
            "criterion": None,
            "optimizer_history": [optimizer],
            "task_state": {"dictionaries": [dictionary]},
            "extra_state": {"metrics": meter, "train_iterator": {"epoch": 1}},
            "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(1000)}}},
        }
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def write_encoder(name: str, folder: Path) -> Path:
    """Write the reduced weights of the encoder ``name`` as it is published; return the file."""
    case_name = ENCODER_CASES[name]
    if case_name == "encoder_onnx":
        from tests.vencoder.graphs import encoder_graph

        (folder / "encoder.onnx").write_bytes(encoder_graph().SerializeToString())
        return folder / "encoder.onnx"
    return _write(case_name, folder, load_case(case_name).state_dict(), "reduced")


def fairseq_config(case_name: str) -> dict[str, Any]:
    """The configuration in a fairseq checkpoint of the case."""
    config = load_case(case_name).manifest["config"]
    return {"model": config["reduced"], "task": config["task"]}


def _write(case_name: str, folder: Path, state: dict[str, torch.Tensor], size: str) -> Path:
    """Write tensors in the container of the case, with the sizes that it has under ``size``."""
    path, config = folder / f"{case_name}.pt", load_case(case_name).manifest["config"]
    content: dict[str, Any]
    if "whisper" in case_name:
        content = {"dims": config[size], "model_state_dict": state}
    elif case_name == "encoder_hubertsoft":
        content = OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
    elif case_name == "encoder_wavlmbase":
        content = {"cfg": config[size], "model": state}
    elif case_name == "encoder_dphubert":
        layers = [tuple(layer) for layer in config[size]["extractor_conv_layer_config"]]
        content = {
            "state_dict": state,
            "config": config[size] | {"extractor_conv_layer_config": layers},
            "distill_linear_projs": OrderedDict({"0.weight": torch.zeros(48, 48), "0.bias": torch.zeros(48)}),
        }
    else:
        return write_fairseq(path, state, {"model": config[size], "task": config["task"]})
    torch.save(content, path)
    return path


def write_full_encoder(name: str, folder: Path) -> Path:
    """Write a file of the published size for the encoder ``name``, of small noise; for benchmarks.

    A Whisper file lacks the decoder, which nothing reads. DPHuBERT is written
    unpruned: where the published one was pruned is not known here.
    """
    case_name = ENCODER_CASES[name]
    shapes = load_case(case_name).manifest["default_state_dict"]
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))

    def small(name: str, shape: list[int]) -> torch.Tensor:
        size = math.prod(shape)
        if len(shape) == 1 and name.endswith("weight"):
            return torch.ones(shape)
        return (0.02 * noise).repeat(-(-size // len(noise)))[:size].reshape(shape).half()

    state = {key: small(key, shape) for key, (shape, _) in shapes.items() if not key.startswith("decoder.")}
    return _write(case_name, folder, state, "unpruned" if name == "dphubert" else "published")


def write_vocoder(case_name: str, folder: Path) -> Path:
    """Write the reduced vocoder of a case, with its config.json beside it; return the model's file."""
    case = load_case(case_name)
    state = case.state_dict()
    torch.save({"generator": state, "steps": 1}, folder / "model")
    (folder / "config.json").write_text(json.dumps(case.manifest["config"]["reduced"]), encoding="utf-8")
    return folder / "model"
