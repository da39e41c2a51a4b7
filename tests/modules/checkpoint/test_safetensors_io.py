import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modules.checkpoint import load_model, model_state, read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError


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


def test_what_it_has_no_place_for_is_refused(tmp_path):
    content = {"model": {"w": torch.ones(1)}, "optimizer": {"state": {}}}
    with pytest.raises(ValueError, match="optimizer"):
        write_checkpoint(tmp_path / "a.safetensors", content)
    assert not list(tmp_path.iterdir())


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


def test_a_note_that_makes_no_sense_is_a_damaged_file(tmp_path):
    path, state = tmp_path / "a.safetensors", {"w": torch.ones(1)}
    for note in NOTES:
        save_file(state, path, metadata={"glow_svc": note})
        with pytest.raises(CheckpointError, match="its note of what it holds is damaged"):
            read_checkpoint(path)
    # an entry cannot take the place of the model
    save_file(state, path, metadata={"glow_svc": '{"entries": {"model": 1}, "same_as": {}}'})
    assert read_checkpoint(path)["model"].keys() == {"w"}
