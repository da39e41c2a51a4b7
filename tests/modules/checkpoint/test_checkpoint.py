import errno
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from modules.checkpoint import (
    find_state_dict,
    load_model,
    load_weights,
    model_state,
    read_checkpoint,
    read_tensor,
    read_weights,
    write_checkpoint,
)
from modules.common.errors import CheckpointError
from modules.common.files import replacing


@pytest.mark.parametrize("name", ["花子 G_0.pth", "花子 G_0.safetensors"])
def test_a_checkpoint_comes_back_as_it_was(tmp_path, name):
    path, other, values = tmp_path / name, tmp_path / "model", torch.rand(2, 3)
    state = {"w": values, "half": values.half(), "n": torch.arange(3), "none": values[:0]}
    entries = {"iteration": 3, "optimizer": None, "learning_rate": 0.7}
    write_checkpoint(path, {"model": state, **entries})
    assert list(tmp_path.iterdir()) == [path]
    if path.suffix == ".safetensors":
        assert load_file(path).keys() == state.keys()  # to other programs it is a plain file
    path.rename(other)  # the content decides on reading
    content = read_checkpoint(other)
    torch.testing.assert_close(content.pop("model"), state, rtol=0, atol=0)
    assert content == entries
    assert read_checkpoint(other, keep=("iteration", "epoch")) == {"iteration": 3}
    with pytest.raises(CheckpointError, match="holds no 'generator'"):
        read_checkpoint(other, keep=("generator",))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize(
    ("name", "size"), [("G_1.pth", 10), ("G_1.pth", 100_000), ("G_1.safetensors", 100_000)]
)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, name, size):
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


def test_files_without_a_model_are_named_in_one_line(tmp_path, monkeypatch):
    path = tmp_path / "G_1.pth"

    def refuses(message, *readers):
        for reader in readers or (read_checkpoint, read_weights, model_state):
            with pytest.raises(CheckpointError, match=message):
                reader(path)

    refuses(r"G_1\.pth does not exist$")
    path.mkdir()
    refuses(r"G_1\.pth is a folder, not a model file$")
    path.rmdir()
    torch.save([1, 2], path)
    refuses("list", read_checkpoint)
    write_checkpoint(path, {"weights": {}})
    refuses("no 'model'", model_state)

    def locked(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))  # root may read everything

    monkeypatch.setattr(type(path), "open", locked)
    refuses(r"G_1\.pth cannot be read: Permission denied$")


def test_the_tensors_of_a_model_are_found_wherever_they_are_in_single_precision():
    state = {"a.weight": torch.ones(2), "b": torch.zeros(1)}
    assert (
        find_state_dict({"model": state, "other": state}, "f", "state_dict", "model").keys() == state.keys()
    )
    assert find_state_dict(state, "f", "model").keys() == state.keys()
    assert find_state_dict(state, "f").keys() == state.keys()
    with pytest.raises(CheckpointError, match="f holds no 'model'"):
        find_state_dict({"model": {"a": 1}, "other": state}, "f", "model")
    with pytest.raises(CheckpointError, match="f holds no tensors"):
        find_state_dict({}, "f")
    # prefixes of parallel training are undone
    state = {"module.a": torch.ones(2), "module.b": torch.ones(1)}
    assert find_state_dict({"model": state}, "f", "model").keys() == {"a", "b"}
    assert find_state_dict({**state, "c": torch.ones(1)}, "f").keys() == {"module.a", "module.b", "c"}
    dtypes = [torch.float16, torch.bfloat16, torch.float64, torch.float32, torch.int64, torch.bool]
    found = find_state_dict({str(dtype): torch.ones(1, dtype=dtype) for dtype in dtypes}, "f")
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


def test_a_mismatch_names_at_most_five_tensors_and_what_the_file_seems_to_be():
    module = nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)])
    state = {name: torch.zeros(3, 3) for name in module.state_dict() if name != "0.bias"}
    flow = nn.ModuleDict({"flow": nn.ModuleDict({"flows": nn.Linear(1, 2)})})
    one = torch.ones(1)
    for target, content, message in [
        (module, state | {"extra": one}, r"0.bias is missing.*wanted \(2, 2\).*and 4 more"),
        (module[0], {"a\nb" + "c" * 1000: one}, r"^f .{,40}a\?bc{3,99}\.\.\. is unknown; .{,100}$"),
        (module[0], {"encoder.blocks.0.attn.query.weight": one}, r"missing.* a Whisper checkpoint\.$"),
        (flow, dict.fromkeys(flow.state_dict(), one), r"Get the other one\.$"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            load_weights(target, content, "f", advice="Get the other one.")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_one_tensor_is_read(tmp_path, zipped):
    torch.save(torch.arange(6.0).reshape(2, 3), tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert read_tensor(tmp_path / "x.pt").tolist() == [[0, 1, 2], [3, 4, 5]]
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="holds a dict, not a tensor"):
        read_tensor(tmp_path / "x.pt")


def test_shared_tensors_stay_shared_and_parts_are_written_alone(tmp_path):
    path, large = tmp_path / "a.safetensors", torch.rand(100, 1000)
    row = large[3]
    state = {"row": row, "b.row": row, "start": row[:10], "column": large[:, 3]}
    write_checkpoint(path, {"model": state})
    assert path.stat().st_size < 6000
    read = read_checkpoint(path)["model"]
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    assert read["row"].data_ptr() == read["b.row"].data_ptr()


def test_a_bare_file_of_any_program_is_a_model(tmp_path):
    module = nn.Linear(2, 3)
    save_file(module.state_dict(), tmp_path / "a.safetensors", metadata={"format": "pt"})
    torch.save(module.state_dict(), tmp_path / "a.pth")
    for path in tmp_path.iterdir():
        other = nn.Linear(2, 3)
        load_model(other, path)
        assert torch.equal(other.weight, module.weight)
        assert model_state(path).keys() == {"weight", "bias"}


NOTES = [
    "",
    "[]",
    "{}",
    '{"entries": 1, "same_as": {}}',
    '{"entries": {"iteration": [1]}, "same_as": {}}',
    '{"entries": {}, "same_as": {"b": "c"}}',
    '{"entries": {}, "same_as": {"b": ["w"]}}',
    '{"entries": {}, "same_as": {"w": "w"}}',
    '{"entries": {}, "same_as": [["b", "w"]]}',
    '{"entries": {"iteration": ' + "9" * 5000 + '}, "same_as": {}}',
    "[" * 100_000,
]


def test_what_a_note_has_no_place_for_is_refused_and_one_that_makes_no_sense_is_a_damaged_file(tmp_path):
    path, state = tmp_path / "a.safetensors", {"w": torch.ones(1)}
    with pytest.raises(ValueError, match="optimizer"):
        write_checkpoint(path, {"model": state, "optimizer": {"state": {}}})
    assert not list(tmp_path.iterdir())
    for note in NOTES:
        save_file(state, path, metadata={"glow_svc": note})
        with pytest.raises(CheckpointError, match="its note of what it holds is damaged"):
            read_checkpoint(path)
    # an entry cannot take the place of the model
    save_file(state, path, metadata={"glow_svc": '{"entries": {"model": 1}, "same_as": {}}'})
    assert read_checkpoint(path)["model"].keys() == {"w"}
