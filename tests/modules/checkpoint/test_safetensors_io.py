import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from modules.checkpoint import (
    load_model,
    model_state,
    read_checkpoint,
    read_weights,
    state_of,
    write_checkpoint,
)
from modules.common.errors import CheckpointError

ENTRIES = {"iteration": 3, "optimizer": None, "learning_rate": 0.7}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = tmp_path / "花子 G_0.safetensors"
    state = {
        "w": torch.rand(2, 3),
        "half": torch.ones(2).half(),
        "n": torch.arange(3),
        "none": torch.empty(0, 4),
    }
    write_checkpoint(path, {"model": state, **ENTRIES})
    content = read_checkpoint(path)
    assert {name: value for name, value in content.items() if name != "model"} == ENTRIES
    assert content["model"].keys() == state.keys()
    for name, tensor in content["model"].items():
        assert tensor.dtype == state[name].dtype and torch.equal(tensor, state[name])
    assert list(tmp_path.iterdir()) == [path]
    assert read_checkpoint(path, keep=("iteration",)) == {"iteration": 3}
    assert load_file(path).keys() == state.keys()  # to other programs it is a plain file
    path.rename(tmp_path / "G_0.pth")  # the content decides on reading
    assert read_checkpoint(tmp_path / "G_0.pth")["model"].keys() == state.keys()


def test_shared_tensors_stay_shared_and_parts_are_written_alone(tmp_path):
    path, large = tmp_path / "a.safetensors", torch.rand(100, 1000)
    row = large[3]
    state = {"row": row, "b.row": row, "start": row[:10], "column": large[:, 3]}
    write_checkpoint(path, {"model": state})
    assert path.stat().st_size < 6000
    read = read_checkpoint(path)["model"]
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    assert read["row"].data_ptr() == read["b.row"].data_ptr()


def test_weights_are_read_from_it_too(tmp_path):
    path = tmp_path / "a.safetensors"
    write_checkpoint(
        path, {"model": {"encoder.w": torch.ones(1).half(), "decoder.w": torch.ones(1)}, "step": 2}
    )
    content = read_weights(path, keep=("model", "dims"), skip="decoder.")
    assert content["model"].keys() == {"encoder.w"} and content["model"]["encoder.w"].dtype == torch.float32
    assert state_of(content, path, "model").keys() == {"encoder.w"}


def test_a_bare_file_of_any_program_is_a_model(tmp_path):
    module = nn.Linear(2, 3)
    save_file(module.state_dict(), tmp_path / "a.safetensors", metadata={"format": "pt"})
    torch.save(module.state_dict(), tmp_path / "a.pth")
    for path in tmp_path.iterdir():
        other = nn.Linear(2, 3)
        load_model(other, path)
        assert torch.equal(other.weight, module.weight)
        assert model_state(path).keys() == {"weight", "bias"}


def test_what_it_has_no_place_for_is_refused(tmp_path):
    with pytest.raises(ValueError, match="optimizer"):
        write_checkpoint(
            tmp_path / "a.safetensors", {"model": {"w": torch.ones(1)}, "optimizer": {"state": {}}}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "note",
    [
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
    ],
)
def test_a_note_that_makes_no_sense_is_a_damaged_file(tmp_path, note):
    save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors", metadata={"glow_svc": note})
    with pytest.raises(CheckpointError, match="its note of what it holds is damaged"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_an_entry_cannot_take_the_place_of_the_model(tmp_path):
    note = json.dumps({"entries": {"model": 1}, "same_as": {}})
    save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors", metadata={"glow_svc": note})
    assert read_checkpoint(tmp_path / "a.safetensors")["model"].keys() == {"w"}
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert file.metadata() == {"glow_svc": note}
