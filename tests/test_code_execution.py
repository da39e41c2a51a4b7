"""No loader of the project runs what is in a file; the files would, see the first test."""

import itertools
import sys
from functools import partial

import numpy as np
import pytest
from torch import nn

from cluster.index_file import open_index
from cluster.kmeans_file import read_centres
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

KINDS = [*CONTAINERS, "pickle"]
READERS = [
    read_checkpoint,
    read_weights,
    lambda path: read_weights(path, keep=("model",)),
    lambda path: read_weights(path, keep=("generator",)),
    read_tensor,
    read_centres,
    lambda path: load_model(nn.Linear(1, 1), path),
]
PARTS = [
    (registry, name)
    for registry in (ENCODERS, VOCODERS, F0_PREDICTORS)
    for name, spec in registry.items()
    if spec.weights
]


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


@pytest.mark.parametrize("name", PAYLOADS)
def test_readers_refuse_and_say_what_was_asked_for(tmp_path, trace, name):
    for container in KINDS:
        path = write_payload(tmp_path / "G_1.pth", container, trace, name)
        for reader in (*READERS, *([open_index] if container == "pickle" else [])):
            with pytest.raises(CheckpointError) as caught:
                reader(path)
            assert str(caught.value).startswith(f"{path} is refused: it asks for {PAYLOADS[name][1]}, ")
            assert "\n" not in str(caught.value) and not trace.exists()


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_lies_beside_or_outside_of_the_model_is_refused_too(tmp_path, trace, container):
    for key in ("extra_state", "optimizer"):
        path = write_payload(tmp_path / "G_1.pth", container, trace, key=key)
        with pytest.raises(CheckpointError, match=r"is refused.*os\.system"):
            read_weights(path, keep=("model",))
    path = write_outside(tmp_path / "G_1.pth", container)
    for reader in READERS:
        with pytest.raises(CheckpointError, match=r"is refused.*os\.system"):
            reader(path)
    assert not trace.exists()


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_foreign_module_is_never_imported(tmp_path, trace, monkeypatch, container):
    (tmp_path / "some_trainer.py").write_text(f"open({str(trace)!r}, 'w').close()\ndef meter(*_): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    pickled = payload_pickle("system", trace).replace(b"cos\nsystem\n", b"csome_trainer\nmeter\n")
    path = wrap(pickled, container, tmp_path / "fairseq.pt")
    assert read_weights(path) == {"model": {"weight": None}}
    assert "some_trainer" not in sys.modules and not trace.exists()
    with pytest.raises(CheckpointError, match=r"is refused.*some_trainer\.meter"):
        read_checkpoint(path)


@pytest.mark.parametrize(("registry", "name"), PARTS, ids=[name for _, name in PARTS])
def test_every_part_with_weights_refuses(tmp_path, trace, registry, name):
    """In every container, with another payload in each."""
    path = tmp_path / "model.pt"
    build = partial(registry.build, name, "cpu")
    if registry is VOCODERS:
        path = write_vocoder(VOCODER_CASES[name], tmp_path)  # with a config.json that is right
        data = DataConfig(n_fft=256, win_length=256, hop_length=64, n_mels=16)
        build = partial(registry.build, name, data, "cpu")
    elif registry is F0_PREDICTORS:
        build = partial(registry.build, name, sampling_rate=44100, hop_length=512)
    payloads = itertools.islice(itertools.cycle(PAYLOADS), PARTS.index((registry, name)), None)
    for container, payload in zip(KINDS, payloads, strict=False):
        write_payload(path, container, trace, payload)
        with pytest.raises(CheckpointError) as caught:
            build(weights=path)
        message = str(caught.value)
        assert "\n" not in message and not trace.exists()
        assert "onnx" in name or f"is refused: it asks for {PAYLOADS[payload][1]}" in message


@pytest.mark.parametrize("kind", features.SUFFIXES)
def test_every_feature_reader_refuses(tmp_path, trace, kind):
    wav = tmp_path / "a.wav"
    path = features.feature_path(wav, kind)
    for container in KINDS if path.suffix == ".pt" else ["pickle"]:
        write_payload(path, container, trace)
        with pytest.raises(FeatureError):
            features.n_frames(wav, kind)
    if path.suffix == ".npy":
        with path.open("wb") as file:  # an array of one object
            header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
            np.lib.format.write_array_header_1_0(file, header)
            file.write(payload_pickle("system", trace))
        with pytest.raises(FeatureError):
            features.n_frames(wav, kind)
    assert not trace.exists()
