import argparse
import datetime
import enum
import io
import pickle
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch

from modules.checkpoint.allowlist import UNKNOWN, DamagedError, UnsafePickleError
from modules.checkpoint.unpickler import PickleStream, Unpickler
from tests.support.published import foreign_classes

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def read(data, strict=False, size=None):
    stream = PickleStream(io.BytesIO(data), len(data) if size is None else size)
    return Unpickler(stream, lambda key: ("outside", key), strict).load()


VALUES = [
    [None, True, False, 0, -1, 255, 65535, -(2**31), 2**70, 1.5, float("inf")],
    ["text", "日本語 \n" + "a" * 300, b"bytes", b"", b"\xff" * 300],
    [[], [1, [2, [3]]], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [["shared"]] * 3],
    [{}, {"a": {"b": [1, (2, None)]}, 3: 4, None: 5, b"k": 6, -1: 7}],
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_are_what_the_standard_reader_makes_of_them(protocol):
    found = read(pickle.dumps(VALUES, protocol), strict=True)
    assert repr(found) == repr(VALUES)  # types included


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_containers_of_the_standard_library_come_as_plain_ones(protocol):
    counts = defaultdict(int, {"a": 1})
    value = [OrderedDict(b=1, a=2), Counter("aab"), counts, argparse.Namespace(lr=0.1, layers=[1])]
    found = read(pickle.dumps(value, protocol), strict=True)
    assert found == [{"b": 1, "a": 2}, {"a": 2, "b": 1}, {"a": 1}, {"lr": 0.1, "layers": [1]}]
    assert list(found[0]) == ["b", "a"]
    assert sorted(read(pickle.dumps({3, 1, 2}, protocol))) == [1, 2, 3]
    assert sorted(read(pickle.dumps(frozenset([3, 1]), protocol))) == [1, 3]


def test_types_of_torch_and_numbers_of_numpy_are_read():
    values = [np.float64(0.00079), np.float32(0.5), np.int64(-3), np.bool_(True)]
    found = read(pickle.dumps([*values, torch.Size([2, 3]), torch.bfloat16], 2), strict=True)
    assert found == [0.00079, 0.5, -3, True, (2, 3), torch.bfloat16]
    assert [type(value) for value in found[:5]] == [float, float, int, bool, tuple]


class Color(enum.Enum):
    RED = "red"


def test_objects_of_unknown_classes_are_inert():
    with foreign_classes() as classes:
        meter = classes["AverageMeter"]()
        meter.val = 1.0
        data = pickle.dumps({"meter": meter, "class": classes["Dictionary"], "lr": 0.5}, 2)
    assert read(data) == {"meter": UNKNOWN, "class": UNKNOWN, "lr": 0.5}
    with pytest.raises(UnsafePickleError, match=r"^fairseq\.meters\.AverageMeter$"):
        read(data, strict=True)
    found = read(pickle.dumps({"color": Color.RED, "day": datetime.date(2020, 1, 1), "type": int}, 2))
    assert found == {"color": UNKNOWN, "day": UNKNOWN, "type": UNKNOWN}
    # appending to, setting items of and giving a state to something unknown
    assert read(b"\x80\x02coma.list\nList\n)\x81(K\x01K\x02eK\x03K\x04s}b.") is UNKNOWN


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
                read(data, strict)


def test_names_are_shown_on_one_short_line():
    data = b"\x80\x04\x8c\x02os\x8c\xffa\nb" + b"c" * 252 + b"\x93."
    with pytest.raises(UnsafePickleError) as caught:
        read(data)
    assert str(caught.value).startswith("os.a?bccc") and len(str(caught.value)) < 90


def test_what_lies_outside_is_asked_for():
    assert read(b"\x80\x02X\x01\x00\x00\x00kQ.") == ("outside", "k")
    assert read(b"Pkey\n.") == ("outside", "key")


def test_keys_that_could_be_slow_to_hash_are_left_out():
    value = {"a": 1, 2**60: 2, (1, 2): 3, 1.5: 4}
    assert read(pickle.dumps(value, 2)) == {"a": 1}


def test_a_row_of_pickles_is_read_one_by_one():
    file = io.BytesIO(pickle.dumps(1, 2) + pickle.dumps([2], 2) + b"rest")
    stream = PickleStream(file, 100)
    assert [Unpickler(stream, list).load() for _ in range(2)] == [1, [2]]
    assert stream.skip(2) == file.getvalue().index(b"rest")
    assert stream.numbers("<h") == (int.from_bytes(b"st", "little"),)
    with pytest.raises(DamagedError, match="cut short"):
        stream.numbers("<h")


@pytest.mark.parametrize("opcode", ["EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"])
def test_only_opcodes_of_the_list_are_executed(opcode):
    with pytest.raises(DamagedError, match="which model files do not"):
        read(b"\x80\x05N" + getattr(pickle, opcode) + bytes(4) + b".")


def test_steps_and_text_are_limited_by_the_size_of_the_file():
    steps = b"\x80\x02" + b"N0" * 150_000 + b"N."
    with pytest.raises(DamagedError, match="more objects"):
        read(steps)
    assert read(steps, size=10**9) is None
    text = b"\x80\x02X" + (8_500_000).to_bytes(4, "little") + b"a" * 8_500_000 + b"."
    with pytest.raises(DamagedError, match="more text"):
        read(text, size=1000)
    assert len(read(text)) == 8_500_000


@pytest.mark.parametrize("arguments", [b"h\x00\x85", b"h\x01"], ids=["a long list", "a long tuple"])
def test_calls_count_what_they_copy(arguments):
    items = b"(" + b"K\x01" * 1000 + b"lq\x00" + b"(" + b"K\x01" * 1000 + b"tq\x010"
    calls = b"ccollections\ndefaultdict\n" + arguments + b"R0"
    with pytest.raises(DamagedError, match="more objects"):
        read(b"\x80\x02" + items + calls * 300 + b".")
    assert len(read(b"\x80\x02" + items + calls * 100 + b".")) == 1000
