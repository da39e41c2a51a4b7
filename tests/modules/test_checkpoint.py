import errno
import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from modules.checkpoint import load_model, load_weights, read_checkpoint, write_checkpoint
from modules.errors import CheckpointError
from modules.files import replacing


class Attack:
    """Unpickling this runs a command that would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def test_what_is_written_is_read(tmp_path):
    write_checkpoint(
        tmp_path / "G_1.pth", {"model": {"w": torch.ones(2)}, "iteration": 3, "learning_rate": 0.7}
    )
    content = read_checkpoint(tmp_path / "G_1.pth")
    assert content["iteration"] == 3 and torch.equal(content["model"]["w"], torch.ones(2))
    assert [path.name for path in tmp_path.iterdir()] == ["G_1.pth"]


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_full_disk_is_told_as_such_and_leaves_nothing(tmp_path, size):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a disk that is always full")
    path = tmp_path / "G_1.pth"
    with replacing(path) as temporary:  # learn its name
        temporary.write_bytes(b"old")
    temporary.symlink_to("/dev/full")
    with pytest.raises(OSError, match="G_1.pth") as caught:
        write_checkpoint(path, {"model": {"w": torch.zeros(size)}})
    assert caught.value.errno == errno.ENOSPC
    assert [p.name for p in tmp_path.iterdir()] == ["G_1.pth"] and path.read_bytes() == b"old"


def test_a_disk_that_fills_up_midway_is_told_as_such(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="G_1.pth"):  # torch has "unexpected pos" to say
            write_checkpoint(tmp_path / "G_1.pth", {"model": {"w": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_the_numpy_scalar_of_published_optimizers_is_read(tmp_path):
    rate = np.float64(0.00079)
    torch.save({"model": {}, "optimizer": {"param_groups": [{"lr": rate}]}}, tmp_path / "G_5.pth")
    assert read_checkpoint(tmp_path / "G_5.pth")["optimizer"]["param_groups"][0]["lr"] == rate


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused(tmp_path, zipped):
    path, trace = tmp_path / "G_1.pth", tmp_path / "was here"
    torch.save({"model": Attack(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"G_1\.pth is refused.*system"):
        read_checkpoint(path)
    assert not trace.exists()


def test_a_plain_pickle_is_refused(tmp_path):
    path, trace = tmp_path / "G_1.pth", tmp_path / "was here"
    path.write_bytes(pickle.dumps(Attack(trace)))
    with pytest.raises(CheckpointError, match=r"G_1\.pth"):
        read_checkpoint(path)
    assert not trace.exists()


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "G_1.pth"
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(path)
    path.touch()
    with pytest.raises(CheckpointError, match=r"G_1\.pth"):
        read_checkpoint(path)
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


def test_speaker_tables_of_another_length_are_kept_where_that_is_asked_for():
    module = nn.ModuleDict({"emb_g": nn.Embedding(2, 3), "pre": nn.Linear(3, 3)})
    own = module.emb_g.weight.clone()
    state = {name: torch.ones_like(value) for name, value in module.state_dict().items()}
    state["emb_g.weight"] = torch.ones(200, 3)
    with pytest.raises(CheckpointError, match="emb_g.weight"):
        load_weights(module, state, "G_0.pth")
    assert load_weights(module, state, "G_0.pth", ["emb_g.weight", "spk_emb.weight"]) == ["emb_g.weight"]
    assert torch.equal(module.emb_g.weight, own) and torch.equal(module.pre.weight, torch.ones(3, 3))
    assert state["emb_g.weight"].shape == (200, 3)  # what was read is left as it was
    with pytest.raises(CheckpointError, match="emb_g.weight"):
        load_weights(module, {**state, "emb_g.weight": torch.ones(200, 4)}, "G_0.pth", ["emb_g.weight"])


def test_half_precision_weights_load_in_the_precision_of_the_module():
    module = nn.Linear(2, 2)
    load_weights(module, {name: value.half() for name, value in module.state_dict().items()}, "G_1.pth")
    assert module.weight.dtype == torch.float32
