import argparse
import datetime
import io
import pickle
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch

from modules.checkpoint import read_checkpoint, read_weights
from modules.checkpoint.allowlist import UNKNOWN, Array, DamagedError, UnsafePickleError
from modules.checkpoint.unpickler import PickleStream, Unpickler
from modules.common.errors import CheckpointError
from tests.support.published import foreign_classes
from tests.support.torch_files import CONTAINERS, read_pickle, wrap, write_zip

VALUES = [
    [None, True, False, 0, -1, 255, 65535, -(2**31), 2**70, 1.5, float("inf")],
    ["text", "日本語 \n" + "a" * 300, b"bytes", b"", b"\xff" * 300],
    [[], [1, [2, [3]]], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [["shared"]] * 3],
    [{}, {"a": {"b": [1, (2, None)]}, 3: 4, None: 5, b"k": 6, -1: 7}],
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_what_the_standard_reader_makes_of_them(protocol):
    found = read_pickle(pickle.dumps(VALUES, protocol))
    assert repr(found) == repr(VALUES)  # types included


def test_containers_types_and_numbers_come_as_plain_ones():
    numbers = [np.float64(0.00079), np.float32(0.5), np.int64(-3), np.bool_(True)]
    counts = defaultdict(int, {"a": 1})
    options = argparse.Namespace(lr=0.1, layers=[1])
    for protocol in (2, 3, 4, 5):
        value = [OrderedDict(b=1, a=2), Counter("aab"), counts, options, {3, 1, 2}, frozenset([3])]
        ordered, counted, *others, many, one = read_pickle(pickle.dumps(value, protocol))
        assert list(ordered.items()) == [("b", 1), ("a", 2)] and counted == {"a": 2, "b": 1}
        assert others == [{"a": 1}, {"lr": 0.1, "layers": [1]}] and sorted([*many, *one]) == [1, 2, 3, 3]
        found = read_pickle(pickle.dumps([*numbers, torch.Size([2, 3]), torch.bfloat16], protocol))
        assert found == [0.00079, 0.5, -3, True, (2, 3), torch.bfloat16]
        assert [type(value) for value in found[:5]] == [float, float, int, bool, tuple]
        # keys that could be slow to hash are left out
        assert read_pickle(pickle.dumps({"a": 1, 2**60: 2, (1, 2): 3, 1.5: 4}, protocol)) == {"a": 1}
    for persistent in (b"\x80\x02X\x01\x00\x00\x00kQ.", b"Pk\n."):
        assert read_pickle(persistent) == ("outside", "k")


def test_objects_of_unknown_classes_are_inert():
    with foreign_classes() as classes:
        meter = classes["AverageMeter"]()
        meter.val = 1.0
        data = pickle.dumps({"meter": meter, "class": classes["Dictionary"], "lr": 0.5}, 2)
    assert read_pickle(data, strict=False) == {"meter": UNKNOWN, "class": UNKNOWN, "lr": 0.5}
    with pytest.raises(UnsafePickleError, match=r"^fairseq\.meters\.AverageMeter$"):
        read_pickle(data)
    data = pickle.dumps({"day": datetime.date(2020, 1, 1), "type": int}, 2)
    assert read_pickle(data, strict=False) == {"day": UNKNOWN, "type": UNKNOWN}
    # appending to, setting items of and giving a state to something unknown
    data = b"\x80\x02coma.list\nList\n)\x81(K\x01K\x02eK\x03K\x04s}b."
    assert read_pickle(data, strict=False) is UNKNOWN


NAMES = """os.system posix.system nt.system subprocess.Popen builtins.eval builtins.getattr __builtin__.exec
commands.getoutput importlib.import_module torch.hub.load torch.load torch._utils._rebuild_sparse_tensor
torch.nn.modules.linear.Linear numpy.load numpy.core.multiarray.fromfile collections.OrderedDict.__init__"""


@pytest.mark.parametrize("name", NAMES.split())
def test_what_could_do_something_is_refused_at_its_name(name):
    module, _, attribute = name.rpartition(".")
    by_line = f"\x80\x02c{module}\n{attribute}\n.".encode("latin-1")
    by_stack = b"\x80\x04\x8c" + bytes([len(module)]) + module.encode()
    by_stack += b"\x8c" + bytes([len(attribute)]) + attribute.encode() + b"\x93."
    for data in (by_line, by_stack):
        for strict in (True, False):
            with pytest.raises(UnsafePickleError, match=attribute.strip("_")):
                read_pickle(data, strict)


def test_names_are_shown_on_one_short_line_and_only_listed_opcodes_executed():
    with pytest.raises(UnsafePickleError, match=r"^os\.a\?bc{3,80}\.\.\.$"):
        read_pickle(b"\x80\x04\x8c\x02os\x8c\xc0a\nb" + b"c" * 189 + b"\x93.")
    with pytest.raises(DamagedError, match="more than 200 letters"):
        read_pickle(b"\x80\x04\x8c\x02os\x8c\xc7" + b"c" * 199 + b"\x93.")
    for opcode in (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER):
        with pytest.raises(DamagedError, match="which model files do not"):
            read_pickle(b"\x80\x05N" + opcode + bytes(4) + b".")


def test_a_row_of_pickles_is_read_one_by_one():
    file = io.BytesIO(pickle.dumps(1, 2) + pickle.dumps([2], 2) + b"rest")
    stream = PickleStream(file, 100)
    assert [Unpickler(stream, list).load() for _ in range(2)] == [1, [2]]
    assert stream.skip(2) == file.getvalue().index(b"rest")
    assert stream.numbers("<h") == (int.from_bytes(b"st", "little"),)
    with pytest.raises(DamagedError, match="cut short"):
        stream.numbers("<h")


def test_steps_text_and_what_calls_copy_are_limited_by_the_size_of_the_file():
    steps = b"\x80\x02" + b"N0" * 150_000 + b"N."
    with pytest.raises(DamagedError, match="more objects"):
        read_pickle(steps)
    assert read_pickle(steps, size=10**9) is None
    text = b"\x80\x02X" + (8_500_000).to_bytes(4, "little") + b"a" * 8_500_000 + b"."
    with pytest.raises(DamagedError, match="more text"):
        read_pickle(text, size=1000)
    assert len(read_pickle(text)) == 8_500_000
    items = b"(" + b"K\x01" * 1000 + b"lq\x00" + b"(" + b"K\x01" * 1000 + b"tq\x010"
    for arguments in (b"h\x00\x85", b"h\x01"):  # a long list, a long tuple
        calls = b"ccollections\ndefaultdict\n" + arguments + b"R0"
        with pytest.raises(DamagedError, match="more objects"):
            read_pickle(b"\x80\x02" + items + calls * 300 + b".")
        assert len(read_pickle(b"\x80\x02" + items + calls * 100 + b".")) == 1000


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.float64).reshape(2, 3).T,
    np.float32(2) * np.ones((2, 3, 4), np.float16)[:, ::2],
    np.array(5, np.int64),
    np.array([True, False]),
    np.zeros((0, 3), np.uint8),
    np.array([-1, 2], np.int8),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_are_what_the_standard_reader_makes_of_them(protocol):
    data = pickle.dumps([ARRAYS, ARRAYS], protocol)
    numpy_1 = data.replace(b"numpy._core", b"numpy.core") if protocol < 4 else data
    for found in (read_pickle(data), read_pickle(numpy_1)):
        for one, two, wanted in zip(*found, ARRAYS, strict=True):
            assert isinstance(one, Array) and one is two and one.values.dtype == wanted.dtype
            np.testing.assert_array_equal(one.values, wanted)


@pytest.mark.parametrize("legacy", [False, True])
def test_they_are_tensors_in_a_model_file(tmp_path, legacy):
    path = tmp_path / "a.pth"
    torch.save({"model": {"w": ARRAYS[0], "d": ARRAYS[1]}}, path, _use_new_zipfile_serialization=not legacy)
    for reader, dtype in ((read_checkpoint, torch.float64), (read_weights, torch.float32)):
        state = reader(path)["model"]
        assert (state["w"].dtype, state["d"].dtype) == (torch.float32, dtype)
        np.testing.assert_array_equal(state["d"], ARRAYS[1])
        state["w"][0] = 5.0  # its own memory, that may be written
    torch.save({"model": np.array([1], np.uint64)}, path)  # numbers that a torch may lack
    try:
        assert read_checkpoint(path)["model"].dtype == torch.uint64
    except CheckpointError as error:
        assert "an array of uint64" in str(error)


OTHERS = [
    np.array([{}]),
    np.array(["text"]),
    np.array([b"bytes"]),
    np.array([1j]),
    np.array(["2020-01-01"], "datetime64[D]"),
    np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]),
    np.array([1.0], np.longdouble),
]


@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_of_other_things_are_refused(tmp_path, protocol):
    for value in OTHERS:
        pickled = pickle.dumps({"model": value}, protocol)
        for container in CONTAINERS:
            path = wrap(pickled, container, tmp_path / "a.pth")
            for reader in (read_checkpoint, read_weights):
                with pytest.raises(CheckpointError, match="a numpy type that is not a number"):
                    reader(path)
    with pytest.raises(DamagedError, match="byte order of another kind of machine"):
        read_pickle(pickle.dumps(np.arange(3, dtype=">f4"), protocol))
    for value, name in ((np.ones((2, 2)).view(np.matrix), r"numpy\.matrix"), (np.ma.ones(2), r"numpy\.ma")):
        with pytest.raises(UnsafePickleError, match=name):
            read_pickle(pickle.dumps(value, protocol))


def claims(shape: object = (2, 3), dtype: object = np.dtype("f4"), data: object = bytes(24), order=False):
    """Return the pickle of an array with what it claims of itself."""

    class Claim:
        def __reduce__(self):
            return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, shape, dtype, order, data)

    return pickle.dumps({"model": Claim()}, 4)


CLAIMS = [
    *[{"shape": shape} for shape in ((2, 4), (2**62,), (2**64 + 6,), (2.0, 3), (True, 6), [2, 3], None)],
    {"shape": (0, 2**47, 2**47), "data": b""},
    *[{"data": data} for data in (bytes(23), bytes(25), b"", "text" * 6, [0.0] * 6, None)],
    *[{"dtype": dtype} for dtype in (np.dtype("f8"), "f4", None, torch.float32)],
]


def test_false_claims_are_damage(tmp_path):
    np.testing.assert_array_equal(read_pickle(claims())["model"].values, np.zeros((2, 3)))  # a true one
    path = tmp_path / "a.pth"
    for claim in CLAIMS:
        write_zip(path, claims(**claim))
        with pytest.raises(CheckpointError, match="cannot be read") as caught:
            read_checkpoint(path, arrays=True)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
