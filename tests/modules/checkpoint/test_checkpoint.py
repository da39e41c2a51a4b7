import errno
import os

import numpy as np
import pytest
import torch
from torch import nn

from modules.checkpoint import (
    load_model,
    load_weights,
    read_checkpoint,
    read_tensor,
    read_weights,
    state_of,
    write_checkpoint,
)
from modules.common.errors import CheckpointError
from modules.common.files import replacing


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "G_1.pth"
    optimizer = {"param_groups": [{"lr": np.float64(0.00079)}]}  # as published files have it
    write_checkpoint(path, {"model": {"w": torch.ones(2)}, "iteration": 3, "optimizer": optimizer})
    content = read_checkpoint(path)
    assert content["iteration"] == 3 and torch.equal(content["model"]["w"], torch.ones(2))
    assert content["optimizer"] == optimizer
    assert list(tmp_path.iterdir()) == [path]
    assert read_checkpoint(path, keep=("iteration", "epoch")) == {"iteration": 3}
    with pytest.raises(CheckpointError, match="holds no 'generator'"):
        read_checkpoint(path, keep=("generator",))


@pytest.mark.parametrize(
    ("name", "size"), [("G_1.pth", 10), ("G_1.pth", 100_000), ("G_1.safetensors", 100_000)]
)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, name, size):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a disk that is always full")
    path = tmp_path / name
    with replacing(path) as temporary:  # learn its name
        temporary.write_bytes(b"old")
    temporary.symlink_to("/dev/full")
    with pytest.raises(OSError, match=name) as caught:
        write_checkpoint(path, {"model": {"w": torch.zeros(size)}})
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"old"


def test_a_disk_that_fills_up_midway_is_named(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="G_1.pth"):  # torch has "unexpected pos" to say
            write_checkpoint(tmp_path / "G_1.pth", {"model": {"w": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "G_1.pth"
    write_checkpoint(path, {"model": {"w": torch.ones(1000)}})
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(CheckpointError, match=r"G_1\.pth"):
        read_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="list"):
        read_checkpoint(path)
    write_checkpoint(path, {"weights": {}})
    with pytest.raises(CheckpointError, match="no 'model'"):
        load_model(nn.Linear(1, 1), path)


def test_a_mismatch_names_at_most_five_tensors():
    module = nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)])
    state = {name: torch.zeros(3, 3) for name in module.state_dict() if name != "0.bias"} | {
        "extra": torch.ones(1)
    }
    with pytest.raises(CheckpointError, match="0.bias is missing.*and 4 more") as caught:
        load_weights(module, state, "G_1.pth")
    assert "wanted (2, 2)" in str(caught.value)


@pytest.mark.parametrize(
    "reader", [read_checkpoint, read_weights, lambda path: load_model(nn.Linear(1, 1), path)]
)
def test_a_folder_and_a_locked_file_are_one_line_each(tmp_path, monkeypatch, reader):
    with pytest.raises(CheckpointError, match=r"is a folder, not a model file$"):
        reader(tmp_path)
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist$"):
        reader(tmp_path / "none.pth")
    path = tmp_path / "G_1.pth"
    write_checkpoint(path, {"model": {}})

    def locked(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))  # root may read everything

    monkeypatch.setattr(type(path), "open", locked)
    with pytest.raises(CheckpointError, match=r"G_1\.pth cannot be read: Permission denied$"):
        reader(path)


def test_the_tensors_of_a_model_are_found_wherever_they_are():
    state = {"a.weight": torch.ones(2), "b": torch.zeros(1)}
    assert state_of({"model": state, "other": state}, "f", "state_dict", "model").keys() == state.keys()
    assert state_of(state, "f", "model").keys() == state.keys()
    assert state_of(state, "f").keys() == state.keys()
    with pytest.raises(CheckpointError, match="f holds no 'model'"):
        state_of({"model": {"a": 1}, "other": state}, "f", "model")
    with pytest.raises(CheckpointError, match="f holds no tensors"):
        state_of({}, "f")


def test_prefixes_of_parallel_training_and_half_precision_are_undone():
    state = {"module.a": torch.ones(2), "module.b": torch.ones(1)}
    assert state_of({"model": state}, "f", "model").keys() == {"a", "b"}
    assert state_of({**state, "c": torch.ones(1)}, "f").keys() == {"module.a", "module.b", "c"}
    dtypes = [torch.float16, torch.bfloat16, torch.float64, torch.float32, torch.int64, torch.bool]
    found = state_of({str(dtype): torch.ones(1, dtype=dtype) for dtype in dtypes}, "f")
    assert [value.dtype for value in found.values()] == [torch.float32] * 4 + [torch.int64, torch.bool]
    module = nn.Linear(2, 2)
    load_weights(module, {name: value.half() for name, value in module.state_dict().items()}, "G_1.pth")
    assert module.weight.dtype == torch.float32


def test_both_namings_of_weight_norm_load_into_both():
    new = nn.ModuleDict({"conv": nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 3))})
    old = nn.ModuleDict({"conv": nn.Module()})
    for name, value in {"bias": (3,), "weight_g": (3, 1, 1), "weight_v": (3, 2, 3)}.items():
        old["conv"].register_parameter(name, nn.Parameter(torch.rand(value)))
    for target in (old, new):
        for source in (old, new):
            state = {name: value + 1 for name, value in source.state_dict().items()}
            load_weights(target, state, "f")
            for one, two in zip(sorted(state), sorted(target.state_dict()), strict=True):
                assert torch.equal(state[one], target.state_dict()[two])
    both = {**old.state_dict(), "conv.parametrizations.weight.original0": torch.ones(3, 1, 1)}
    with pytest.raises(CheckpointError, match="original0 is unknown"):
        load_weights(old, both, "f")


def test_names_of_a_stranger_do_not_break_the_line():
    with pytest.raises(CheckpointError) as caught:
        load_weights(nn.Linear(1, 1), {"a\nb" + "c" * 1000: torch.ones(1)}, "f")
    assert "a?bccc" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_mismatch_says_what_the_file_seems_to_be():
    whisper = {"encoder.blocks.0.attn.query.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"weight is missing.*It seems to be a Whisper checkpoint\.$"):
        load_weights(nn.Linear(1, 1), whisper, "f")
    module = nn.ModuleDict({"flow": nn.ModuleDict({"flows": nn.Linear(1, 2)})})
    same_kind = {name: torch.ones(9) for name in module.state_dict()}
    with pytest.raises(CheckpointError, match=r"Get the other one\.$"):
        load_weights(module, same_kind, "f", advice="Get the other one.")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_one_tensor_is_read(tmp_path, zipped):
    torch.save(torch.arange(6.0).reshape(2, 3), tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert read_tensor(tmp_path / "x.pt").tolist() == [[0, 1, 2], [3, 4, 5]]
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="holds a dict, not a tensor"):
        read_tensor(tmp_path / "x.pt")
