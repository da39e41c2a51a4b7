"""Each format that torch ever wrote is read as torch itself reads it."""

import json
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from typing import Any
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import save_file

from modules.checkpoint import describe_file, find_state_dict, read_checkpoint, read_weights, write_checkpoint
from modules.checkpoint.archive import Archive
from modules.common.errors import CheckpointError
from tests.support.fuzzing import ROOM, in_children
from tests.support.published import write_fairseq
from tests.support.torch_files import save_tar, tensor_pickle, write_legacy, write_zip

TENSORS = {
    "plain": torch.arange(6.0).reshape(2, 3),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "part": torch.arange(10.0)[3:7:2],
    "scalar": torch.tensor(3.5),
    "empty": torch.zeros(0, 4),
    "long": torch.tensor([2**40, -1]),
    "parameter": torch.nn.Parameter(torch.ones(2)),
}
LATE = (torch.uint16, torch.float8_e4m3fn)  # which torch writes in the old format and cannot read back
OTHERS = (torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.uint8, torch.complex64, *LATE)
TENSORS |= {str(dtype): torch.tensor([1.5, 0]).to(dtype) for dtype in OTHERS}


def same(one, two):
    if isinstance(one, torch.Tensor):
        assert one.dtype == two.dtype and one.shape == two.shape and one.stride() == two.stride()
        assert torch.equal(
            one.detach().contiguous().view(-1).view(torch.uint8), two.contiguous().view(-1).view(torch.uint8)
        )
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            same(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert type(one) is type(two)
        for left, right in zip(one, two, strict=True):
            same(left, right)
    else:
        assert one == two


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_read_as_torch_reads_them(tmp_path, zipped):
    path = tmp_path / "a.pth"
    tensors = {name: value for name, value in TENSORS.items() if zipped or value.dtype not in LATE}
    content = {"model": OrderedDict(tensors), "step": 3, "nested": [{"w": TENSORS["plain"]}, (1, "a")]}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    wanted = torch.load(path, weights_only=True)
    same(wanted, read_checkpoint(path))
    found = read_weights(path)
    for name, tensor in wanted["model"].items():  # in float32, whatever the file has; strides may differ
        assert torch.equal(found["model"][name], tensor.float() if tensor.is_floating_point() else tensor)
    assert found["nested"][1] == (1, "a") and found["step"] == 3


def test_the_tar_of_old_is_read_as_torch_reads_it(tmp_path):
    floats = {name: value.detach() for name, value in TENSORS.items() if value.dtype == torch.float32}
    path = save_tar({"model": OrderedDict(floats), "epoch": 2}, tmp_path / "a.pth")
    same(torch.load(path, weights_only=False), read_checkpoint(path))
    assert read_weights(path, keep=("model",)).keys() == {"model"}


def test_tensors_that_share_a_record_and_other_protocols_and_subclasses_are_read(tmp_path):
    whole = torch.arange(10.0)
    torch.save({"model": {"a": whole, "b": whole[2:4], "c": whole}}, tmp_path / "a.pth")
    state = read_checkpoint(tmp_path / "a.pth")["model"]
    assert state["a"].data_ptr() == state["c"].data_ptr() == state["b"].data_ptr() - 8
    marked = torch.ones(2)
    marked.note = "torch writes a tensor with attributes in another way"  # type: ignore[attr-defined]
    for protocol in (2, 3, 4, 5):
        torch.save({"w": marked, "p": TENSORS["parameter"]}, tmp_path / "a.pth", pickle_protocol=protocol)
        found = read_checkpoint(tmp_path / "a.pth")
        assert torch.equal(found["w"], torch.ones(2)) and torch.equal(found["p"], torch.ones(2))


@pytest.mark.parametrize("zipped", [True, False])
def test_of_a_fairseq_file_only_the_model_is_read(tmp_path, zipped):
    state = {"encoder.w": torch.rand(3, 4), "label_embs_concat": torch.zeros(4, 2)}
    path = write_fairseq(tmp_path / "a.pt", state, {"model": {"layers": 12}}, zipped)
    with patch.object(Archive, "read_record", autospec=True, side_effect=Archive.read_record) as record:
        content = read_weights(path, keep=("model", "cfg"))
    assert content.keys() == {"model", "cfg"} and content["cfg"]["model"] == {"layers": 12}
    same(content["model"], state)
    assert sorted(call.args[1].n_values for call in record.mock_calls) == [8, 12]  # not the optimizer's
    content = read_weights(path)
    assert content["task_state"]["dictionaries"] == [None]  # an object of fairseq
    assert content["args"] is None and "last_optimizer_state" in content


def test_safetensors_are_known_by_their_content_and_bare_state_dicts_kept_whole(tmp_path):
    path = tmp_path / "model.pt"
    tensors = {"a": torch.rand(2, 3), "b": torch.arange(3)}
    save_file(tensors, path)
    same(tensors, read_weights(path))
    same(tensors, read_weights(path, keep=("model",)))  # a bare state dict has no entries to choose from
    same({"a": tensors["a"]}, read_weights(path, keep=("a",)))
    torch.save(tensors, path)
    same(tensors, read_weights(path, keep=("model",)))
    save_file({"half": tensors["a"].half(), "brain": tensors["a"].bfloat16()}, path)
    assert {tensor.dtype for tensor in read_weights(path).values()} == {torch.float32}
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    header += b" " * (0x0A20 - len(header))  # a length whose first bytes are a blank and a line end
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert read_weights(path)["a"].tolist() == [0]


def test_tensors_of_no_use_are_not_read(tmp_path):
    tensors = {"encoder.w": torch.ones(2).half(), "decoder.w": torch.ones(3).half()}
    save_file(tensors, tmp_path / "a.safetensors")
    write_checkpoint(tmp_path / "own.safetensors", {"model": tensors, "step": 2})
    torch.save({"model": tensors, "dims": {"decoder.layers": 3}}, tmp_path / "a.pt")
    torch.save(tensors, tmp_path / "bare.pt")
    for path in tmp_path.iterdir():
        state = find_state_dict(read_weights(path, keep=("model", "dims"), skip="decoder."), path, "model")
        assert state.keys() == {"encoder.w"} and state["encoder.w"].dtype == torch.float32
    assert read_weights(tmp_path / "a.pt", skip="decoder.")["dims"] == {"decoder.layers": 3}


def test_numbers_of_another_kind_of_machine_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", pickle.dumps({}, 2))
        file.writestr("a/byteorder", "big")
    with pytest.raises(CheckpointError, match="byte order"):
        read_checkpoint(path)
    write_legacy(path, pickle.dumps({}, 2))
    data = path.read_bytes().replace(b"endianq\x02\x88", b"endianq\x02\x89")  # True, False
    assert data != path.read_bytes()
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="byte order"):
        read_checkpoint(path)
    torch.save({"model": {"w": torch.arange(1000.0)}}, path)
    changed = bytearray(path.read_bytes())
    changed[changed.index(struct.pack("<4f", 500, 501, 502, 503))] ^= 1
    path.write_bytes(changed)
    with pytest.raises(CheckpointError, match="damaged.*CRC"):
        read_checkpoint(path)


CLAIMS: list[dict[str, Any]] = [
    {"size": (3, 3)},
    {"stride": (4, 1)},
    {"offset": 1},
    {"size": (6, 6), "stride": (0, 1)},
    {"size": (-1, 3)},
    {"size": (2**62, 2**62)},
    {"n_values": 7},
    {"storage": torch.DoubleStorage},
]


def test_claims_beyond_the_record_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    write_zip(path, tensor_pickle(stride=(3, 1)), {"0": struct.pack("<6f", *range(6))})
    assert read_weights(path)["model"]["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    for claims in CLAIMS:
        pickled = tensor_pickle(**{"stride": (3, 1), **claims})
        write_zip(path, pickled, {"0": bytes(24)})
        with pytest.raises(CheckpointError, match="claims? more values|no possible shape"):
            read_weights(path)
        write_legacy(path, pickled, {"0": struct.pack("<q", 6) + bytes(24)})
        with pytest.raises(CheckpointError, match="claims?|no possible shape|cut short"):
            read_weights(path)


HEADS = {
    b"": "is empty",
    b"<!DOCTYPE html><html>": "web page.*get it again",
    b"\n<HTML>": "web page",
    b"version https://git-lfs.github.com/spec/v1\noid": "git-lfs",
    b"\x08\x0a\x12\x07pytorch": "ONNX",
    b"\x1f\x8b\x08\x00": "compressed archive",
    b'{"error": "not found"}': "JSON",
    b"RIFF\x00\x00\x00\x00WAVE": "recording",
    b"nothing known": "cannot be read",
    pickle.dumps({"model": {}}): "a pickle, but not one that torch wrote",
}


def test_other_files_are_named(tmp_path):
    path = tmp_path / "model.pt"

    def refused(words):
        for reader in (read_checkpoint, read_weights):
            with pytest.raises(CheckpointError, match=words) as caught:
                reader(path)
            assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)

    for head, words in HEADS.items():
        path.write_bytes(head)
        refused(words)
    for members, words in [
        (["readme.txt"], "a zip, but not one that torch wrote"),
        # torch's own writer of these is on its way out
        (["a/data.pkl", "a/constants.pkl", "a/code/__torch__.py"], "TorchScript"),
    ]:
        with zipfile.ZipFile(path, "w") as file:
            for name in members:
                file.writestr(name, b"")
        refused(words)


KINDS = {
    "encoder.blocks.0.attn.query.weight": "Whisper",
    "encoder.layers.0.self_attn.grep_linear.weight": "WavLM",
    "feature_extractor.conv_layers.0.0.weight": "HuBERT",
    "feature_extractor.conv0.weight": "soft HuBERT",
    "feature_extractor.dummy_weight": "DPHuBERT",
    "m_source.l_linear.weight": "NSF vocoder",
    "unet.encoder.bn.weight": "RMVPE",
    "cent_table": "FCPE",
    "flow.flows.0.pre.weight": "Glow-SVC",
    "enc_q.pre.weight": "so-vits-svc",
    "enc_p.emb_phone.weight": "RVC",
    "unit_embed.weight": "diffusion",
    "discriminators.0.convs.0.bias": "discriminator",
}


def test_a_file_of_another_kind_is_named(tmp_path):
    path, tensor = tmp_path / "a.pt", torch.ones(1)
    for name, kind in KINDS.items():
        for content in ({"weights": {name: tensor}}, {name: tensor}, {f"module.{name}": tensor}):
            torch.save(content | {"epoch": 1}, path)
            with pytest.raises(CheckpointError, match=f"holds no 'model' or 'x'; it seems to be .*{kind}"):
                find_state_dict(read_weights(path, keep=("model", "x")), path, "model", "x")
            assert kind in describe_file(path)
    for other, message in [({"state": {}, "param_groups": []}, "optimizer"), ({"a": 1}, "no 'model'$")]:
        torch.save(other, path)
        with pytest.raises(CheckpointError, match=message):
            read_weights(path, keep=("model",))
    assert describe_file(path) == "" == describe_file(tmp_path / "none")


def test_numbers_of_four_bits_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    header = json.dumps({"w": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    for read in (read_checkpoint, read_weights):
        with pytest.raises(CheckpointError, match="numbers of four bits"):
            read(path)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
def test_a_file_in_half_precision_is_in_memory_as_float32_alone(tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({f"{n}": torch.zeros(5_000_000, dtype=torch.float16) for n in range(10)}, path)
    (result,) = in_children(lambda path: [str(len(read_weights(path)))], [path])
    assert result["refused"] == ["10"]
    assert result["grown"] < 2 * path.stat().st_size + ROOM
