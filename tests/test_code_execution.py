"""No loader of the project runs what is in a file; the files would, see the first test."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from modules.checkpoint import load_model, read_checkpoint, read_tensor, read_weights
from modules.common.errors import CheckpointError, FeatureError
from modules.config import DataConfig
from modules.dataset import features
from modules.f0_predictor import F0_PREDICTORS
from tests.support.code_execution_payloads import (
    PAYLOADS,
    payload_pickle,
    run_as_pickle,
    write_outside,
    write_payload,
)
from tests.support.published import VOCODER_CASES, write_vocoder
from tests.support.torch_files import CONTAINERS, wrap
from vdecoder import VOCODERS
from vencoder import ENCODERS

READERS = {
    "read_checkpoint": read_checkpoint,
    "read_weights": read_weights,
    "read_weights, model": lambda path: read_weights(path, keep=("model",)),
    "read_weights, another": lambda path: read_weights(path, keep=("generator",)),
    "read_tensor": read_tensor,
    "load_model": lambda path: load_model(nn.Linear(1, 1), path),
}


@pytest.fixture
def trace(tmp_path):
    """A file that must not appear."""
    return tmp_path / "was here"


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_files_are_dangerous(trace, name):
    if sys.platform == "win32":
        pytest.skip("the commands are those of a POSIX shell")
    try:
        run_as_pickle(payload_pickle(name, trace))
    except TypeError:
        assert name == "new object"  # the tuple cannot be called, but it has been made
    assert trace.exists()


@pytest.mark.parametrize("container", [*CONTAINERS, "pickle"])
@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("reader", READERS)
def test_readers_refuse_and_say_what_was_asked_for(tmp_path, trace, reader, name, container):
    path = write_payload(tmp_path / "G_1.pth", container, trace, name)
    with pytest.raises(CheckpointError) as caught:
        READERS[reader](path)
    assert str(caught.value).startswith(f"{path} is refused: it asks for {PAYLOADS[name][1]}, ")
    assert "\n" not in str(caught.value) and not trace.exists()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("key", ["extra_state", "optimizer"])
def test_what_lies_beside_the_model_is_refused_too(tmp_path, trace, container, key):
    path = write_payload(tmp_path / "G_1.pth", container, trace, key=key)
    with pytest.raises(CheckpointError, match=r"is refused.*os\.system"):
        read_weights(path, keep=("model",))
    assert not trace.exists()


@pytest.mark.parametrize("container", CONTAINERS)
def test_an_object_outside_of_the_pickle_is_refused(tmp_path, container):
    path = write_outside(tmp_path / "G_1.pth", container)
    for reader in READERS.values():
        with pytest.raises(CheckpointError, match=r"is refused.*os\.system"):
            reader(path)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_foreign_module_is_never_imported(tmp_path, trace, monkeypatch, container):
    (tmp_path / "some_trainer.py").write_text(f"open({str(trace)!r}, 'w').close()\ndef meter(*_): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    pickled = payload_pickle("system", trace).replace(b"cos\nsystem\n", b"csome_trainer\nmeter\n")
    path = tmp_path / "fairseq.pt"
    wrap(pickled, container, path)
    assert read_weights(path) == {"model": {"weight": None}}
    assert "some_trainer" not in sys.modules and not trace.exists()
    with pytest.raises(CheckpointError, match=r"is refused.*some_trainer\.meter"):
        read_checkpoint(path)


@pytest.mark.parametrize("container", [*CONTAINERS, "pickle"])
@pytest.mark.parametrize("name", [name for name in ENCODERS if ENCODERS[name].weights])
def test_every_encoder_refuses(tmp_path, trace, name, container):
    path = write_payload(tmp_path / "model.pt", container, trace)
    with pytest.raises(CheckpointError) as caught:
        ENCODERS.build(name, "cpu", weights=path)
    _check(caught, trace, is_pickle="onnx" not in name)


@pytest.mark.parametrize("container", [*CONTAINERS, "pickle"])
@pytest.mark.parametrize("name", [name for name in VOCODERS if VOCODERS[name].weights])
def test_every_vocoder_refuses(tmp_path, trace, name, container):
    path = write_vocoder(VOCODER_CASES[name], tmp_path)  # with a config.json that is right
    write_payload(path, container, trace)
    data = DataConfig(n_fft=256, win_length=256, hop_length=64, n_mels=16)
    with pytest.raises(CheckpointError) as caught:
        VOCODERS.build(name, data, "cpu", weights=path)
    _check(caught, trace)


@pytest.mark.parametrize("container", [*CONTAINERS, "pickle"])
@pytest.mark.parametrize("name", [name for name in F0_PREDICTORS if F0_PREDICTORS[name].weights])
def test_every_f0_predictor_refuses(tmp_path, trace, name, container):
    path = write_payload(tmp_path / "model.pt", container, trace)
    with pytest.raises(CheckpointError) as caught:
        F0_PREDICTORS.build(name, sampling_rate=44100, hop_length=512, weights=path)
    _check(caught, trace)


def _check(caught, trace, is_pickle=True):
    message = str(caught.value)
    assert "\n" not in message and not trace.exists()
    assert not is_pickle or "is refused: it asks for os.system" in message


@pytest.mark.parametrize("container", [*CONTAINERS, "pickle"])
@pytest.mark.parametrize("kind", features.SUFFIXES)
def test_every_feature_reader_refuses(tmp_path, trace, kind, container):
    wav = tmp_path / "a.wav"
    path = features.feature_path(wav, kind)
    if path.suffix == ".npy":
        holder = np.empty(1, object)
        holder[0] = _Touch(trace)
        np.save(path, holder, allow_pickle=True)
        if container == "pickle":
            path.write_bytes(payload_pickle("system", trace))
    else:
        write_payload(path, container, trace)
    with pytest.raises(FeatureError):
        features.n_frames(wav, kind)
    assert not trace.exists()


class _Touch:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return eval, (f"open({str(self.trace)!r}, 'w').close()",)


def test_no_loader_reads_pickles_by_itself():
    """One that did would go unnoticed by the tests above."""
    root = Path(__file__).parents[1]
    readers = {
        ("torch", "load"),
        ("torch.jit", "load"),
        ("pickle", "load"),
        ("pickle", "loads"),
        ("joblib", "load"),
    }
    for package in ("modules", "cluster", "vencoder", "vdecoder", "inference", "training", "pretrain"):
        for path in (root / package).rglob("*.py"):
            calls = {
                (ast.unparse(node.func.value), node.func.attr)
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            }
            assert not calls & readers, path
