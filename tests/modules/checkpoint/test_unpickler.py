import argparse
import datetime
import io
import pickle
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch

from modules.checkpoint.allowlist import UNKNOWN, DamagedError, UnsafePickleError
from modules.checkpoint.unpickler import PickleStream, Unpickler
from tests.support.published import foreign_classes
from tests.support.torch_files import read_pickle

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


def test_names_are_shown_on_one_short_line():
    with pytest.raises(UnsafePickleError, match=r"^os\.a\?bc{3,80}\.\.\.$"):
        read_pickle(b"\x80\x04\x8c\x02os\x8c\xffa\nb" + b"c" * 252 + b"\x93.")


def test_a_row_of_pickles_is_read_one_by_one():
    file = io.BytesIO(pickle.dumps(1, 2) + pickle.dumps([2], 2) + b"rest")
    stream = PickleStream(file, 100)
    assert [Unpickler(stream, list).load() for _ in range(2)] == [1, [2]]
    assert stream.skip(2) == file.getvalue().index(b"rest")
    assert stream.numbers("<h") == (int.from_bytes(b"st", "little"),)
    with pytest.raises(DamagedError, match="cut short"):
        stream.numbers("<h")


def test_only_opcodes_of_the_list_are_executed():
    for opcode in (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER):
        with pytest.raises(DamagedError, match="which model files do not"):
            read_pickle(b"\x80\x05N" + opcode + bytes(4) + b".")


def test_steps_and_text_are_limited_by_the_size_of_the_file():
    steps = b"\x80\x02" + b"N0" * 150_000 + b"N."
    with pytest.raises(DamagedError, match="more objects"):
        read_pickle(steps)
    assert read_pickle(steps, size=10**9) is None
    text = b"\x80\x02X" + (8_500_000).to_bytes(4, "little") + b"a" * 8_500_000 + b"."
    with pytest.raises(DamagedError, match="more text"):
        read_pickle(text, size=1000)
    assert len(read_pickle(text)) == 8_500_000


def test_calls_count_what_they_copy():
    items = b"(" + b"K\x01" * 1000 + b"lq\x00" + b"(" + b"K\x01" * 1000 + b"tq\x010"
    for arguments in (b"h\x00\x85", b"h\x01"):  # a long list, a long tuple
        calls = b"ccollections\ndefaultdict\n" + arguments + b"R0"
        with pytest.raises(DamagedError, match="more objects"):
            read_pickle(b"\x80\x02" + items + calls * 300 + b".")
        assert len(read_pickle(b"\x80\x02" + items + calls * 100 + b".")) == 1000
