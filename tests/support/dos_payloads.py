"""Small model files that cost a careless reader unbounded time, memory or stack: denial of service."""

from __future__ import annotations

import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.support.torch_files import tensor_pickle, wrap, write_legacy, write_tar, write_zip

N = 1_000_000


def _program(steps: bytes, end: bytes = b"K\x01") -> bytes:
    """Return the pickle of ``{"model": {"w": end}}`` that first goes through ``steps`` for nothing."""
    return b"\x80\x02" + steps + b"}X\x05\x00\x00\x00model}X\x01\x00\x00\x00w" + end + b"ss."


def _pickled(steps: bytes, end: bytes = b"K\x01") -> Callable[[Path], object]:
    return lambda path: write_zip(path, _program(steps, end))


def _streamed(steps: bytes, end: bytes = b"K\x01") -> Callable[[Path], object]:
    return lambda path: write_legacy(path, _program(steps, end))


def _tensor(**claims: Any) -> Callable[[Path], object]:
    return lambda path: write_zip(path, tensor_pickle(**claims), {"0": bytes(24)})


def _shared(path: Path) -> None:
    """One record of a million values that 3 000 tensors of the model are, each in full."""
    storage = _STORAGE.replace(b"Float", b"Half").replace(b"K\x06", b"J\x40\x42\x0f\x00")
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(h\x00K\x00J\x40\x42\x0f\x00\x85K\x01\x85\x89NtR"
    names = b"".join(b"X\x04\x00\x00\x00" + f"{n:04}".encode() + tensor for n in range(3000))
    pickled = b"\x80\x02" + storage + b"q\x000}X\x05\x00\x00\x00model}(" + names + b"us."
    write_zip(path, pickled, {"0": bytes(2_000_000)})


def _overlapping(path: Path) -> None:
    """A thousand members that are one and the same place in the file."""
    storage = _STORAGE.replace(b"Float", b"Byte").replace(b"K\x06", b"J\x40\x42\x0f\x00")
    tensors = b"".join(
        b"X\x04\x00\x00\x00"
        + f"{n:04}".encode()
        + _REBUILD
        + b"("
        + storage.replace(b"X\x01\x00\x00\x000", b"X\x03\x00\x00\x00" + f"{n:03}".encode())
        + b"K\x00J\x40\x42\x0f\x00\x85K\x01\x85\x89NtR"
        for n in range(1000)
    )
    pickled = b"\x80\x02}X\x05\x00\x00\x00model}(" + tensors + b"us."
    write_zip(path, pickled, {"000": bytes(1_000_000)})
    with zipfile.ZipFile(path, "a") as file:
        member = file.getinfo("archive/data/000")
        for number in range(1, 1000):
            other = zipfile.ZipInfo(f"archive/data/{number:03}")
            other.header_offset, other.CRC = member.header_offset, member.CRC
            other.file_size = other.compress_size = member.file_size
            file.filelist.append(other)
        file._didModify = True  # type: ignore[attr-defined]  # so that the list is written again


def _unfolding(path: Path, pickled: bytes, length: int = 0) -> None:
    write_zip(path, pickled, {"0": bytes(length)}, compression=zipfile.ZIP_DEFLATED)


def _many_members(path: Path, counts: bytes = b"") -> None:
    """A zip of 100 000 members; ``counts``, without the end of zip64, in place of how many they are."""
    write_zip(path, _program(b""), {str(n): b"" for n in range(100_000)})
    if counts:
        data = path.read_bytes()
        path.write_bytes(data[:-98] + data[-22:-14] + counts + data[-10:])


def _two_pickles(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in ("a", "b"):
            file.writestr(f"{name}/data.pkl", _program(b""))


def _claimed_size(path: Path) -> None:
    """A member that says it is 1 TB, stored."""
    write_zip(path, tensor_pickle((2**38,), (1,), 0, 2**38), {"0": bytes(24)})
    data = path.read_bytes()
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(b"archive/data/0"))
    path.write_bytes(data[: place + 20] + struct.pack("<II", 0xFFFFFFFE, 0xFFFFFFFE) + data[place + 28 :])


def _record_length(length: int) -> Callable[[Path], object]:
    return lambda path: write_legacy(path, tensor_pickle(), {"0": struct.pack("<q", length) + bytes(24)})


def _tar_storages(n_values: int) -> bytes:
    values = struct.pack("<q", n_values) + bytes(24)
    return pickle.dumps(1, 2) + pickle.dumps((1, "cpu", torch.FloatStorage), 2) + values + pickle.dumps([], 2)


def _tar_of(n: int, keys: Iterable[bytes]) -> Callable[[Path], object]:
    """A tar of ``n`` empty storages with the keys that these opcodes give."""
    storages = [b"\x80\x02%bNctorch\nFloatStorage\n\x87." % key + bytes(8) for key in keys]
    head, end = pickle.dumps(n, 2), pickle.dumps([], 2)
    return lambda path: write_tar(path, _program(b""), head + b"".join(storages) + end)


def _tar_storage(n_values: int) -> Callable[[Path], object]:
    return lambda path: write_tar(path, _program(b""), _tar_storages(n_values))


def _tar_tensor(n_dims: int, *numbers: int) -> Callable[[Path], object]:
    tensor = pickle.dumps(1, 2) + pickle.dumps((2, 1, torch.FloatTensor), 2)
    tensor += struct.pack(f"<ii{len(numbers)}q", n_dims, 0, *numbers)
    return lambda path: write_tar(path, _program(b"", b"X\x01\x00\x00\x002Q"), _tar_storages(6), tensor)


def _tar_header(size: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        header = tarfile.TarInfo("storages").tobuf(tarfile.USTAR_FORMAT)
        path.write_bytes(header[:124] + size.ljust(12, b"\0") + header[136:] + bytes(1024))

    return write


def _many_tensors(n: int) -> Callable[[Path], object]:
    text = ",".join(f'"{k}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for k in range(n))
    header = ("{" + text + "}").encode()
    return lambda path: path.write_bytes(len(header).to_bytes(8, "little") + header)


def _append_keys(path: Path, keys: bytes) -> None:
    """A legacy file with these keys of its records."""
    write_legacy(path, _program(b""))
    path.write_bytes(path.read_bytes().removesuffix(pickle.dumps([], 2)) + keys)


def _alike(n: int) -> Iterator[bytes]:
    """Opcodes of ``n`` integers with the same hash."""
    return (b"\x8a\x0b" + (k * (2**61 - 1)).to_bytes(11, "little") for k in range(1, n + 1))


def _sharing(n: int) -> bytes:
    """Return a list that holds another twice, which holds another twice, and so on ``n`` times."""
    lists = (b"](h%bh%beq%b0" % (bytes([k]), bytes([k]), bytes([k + 1])) for k in range(n))
    return b"]q\x000" + b"".join(lists) + b"h" + bytes([n])


_LONG_TEXT = b"X" + (7_000_000).to_bytes(4, "little") + b"a" * 7_000_000 + b"q\x00"
_WIDE_TEXT = b"X" + (7_500_000).to_bytes(4, "little") + "歌".encode() * 2_500_000 + b"q\x000"
_LONG_LIST = b"](" + b"K\x01" * 100_000 + b"eq\x00"
_COLLIDING = b"}(" + b"".join(key + b"N" for key in _alike(90_000))
_DEEP = b")" + b"\x85" * 150_000
_RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85X\x01\x00\x00\x00b\x87R"
_FLOATS = b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R"
_CLAIMED_ARRAY = _RECONSTRUCT + b"(K\x01%s" + _FLOATS + b"\x89C\x04\0\0\0\0tb"
_LONG_BYTES = b"B" + (4_000_000).to_bytes(4, "little") + bytes(4_000_000) + b"q\x000"
_ARRAY_OF_IT = _RECONSTRUCT + b"(K\x01J\x40\x42\x0f\x00\x85" + _FLOATS + b"\x89h\x00tb"
_BIG_NUMBER = b"\x8b" + (2_000_000).to_bytes(4, "little") + b"\x01" * 2_000_000 + b"q\x00"
_LARGE_TENSOR = tensor_pickle((50_000_000,), (1,), 0, 50_000_000)
_REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
_STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"

DOS_PAYLOADS: dict[str, Callable[[Path], object]] = {
    "lists": _pickled(b"]" * N),
    "lists in a stream": _streamed(b"]" * N),
    "just as many lists as go through": _pickled(b"]" * 195_000),
    "dicts": _pickled(b"}" * N),
    "sets": _pickled(b"\x8f" * N),
    "marks": _pickled(b"(" * N),
    "remembered lists": _pickled(b"]\x94" * N),
    "just as many remembered dicts": _pickled(b"}\x94" * 99_000),
    "a place in the memo": _pickled(b"Nr\xff\xff\xff\xff0"),
    "a place beyond the memo": _pickled(b"Np99999999999999999999\n0"),
    "tuples in tuples": _pickled(b"", b")" + b"\x85" * N),
    "tuples in tuples as a key": _pickled(b"}" + b")" + b"\x85" * N + b"K\x01s0"),
    "fewer tuples in tuples": _pickled(b"", b")" + b"\x85" * 150_000),
    "tuples in tuples in a stream as a key": _streamed(b"}" + b")" + b"\x85" * 150_000 + b"K\x01s0"),
    "lists in lists": _streamed(b"", b"]" * 80_000 + b"a" * 79_999),
    "a list of itself": _pickled(b"", b"]q\x00h\x00a"),
    "a list twice twice twice": _pickled(b"", _sharing(40)),
    "a list twice twice twice in a stream": _streamed(b"", _sharing(200)),
    "storages that hash alike": _pickled(
        b"".join(_STORAGE.replace(b"X\x01\x00\x00\x000", key) + b"0" for key in _alike(20_000))
    ),
    "storages that hash alike in a tar": _tar_of(20_000, _alike(20_000)),
    "a storage of tuples in tuples in a tar": _tar_of(1, [_DEEP]),
    "a record of tuples in tuples": lambda path: _append_keys(path, b"\x80\x02]" + _DEEP + b"a."),
    "keys that hash alike": _pickled(_COLLIDING + b"u0"),
    "places that hash alike": _streamed(
        b"N" + b"".join(b"p%d\n" % (k * (2**61 - 1)) for k in range(1, 50_000)) + b"0"
    ),
    "a long text": _pickled(b"X" + (20_000_000).to_bytes(4, "little") + b"a" * 20_000_000 + b"0"),
    "a long text of wide letters": _pickled(_LONG_TEXT.replace(b"aaaa", "\U0001f600".encode(), 1) + b"0"),
    "a text of 16 EB": _pickled(b"\x8d" + b"\xff" * 7 + b"\x7f"),
    "bytes of 2 GB": _streamed(b"B\xff\xff\xff\x7f"),
    "a line without an end": _pickled(b"S'" + b"a" * 7_000_000),
    "a number of a million digits": _pickled(b"L" + b"7" * 60_000 + b"L\n0"),
    "a large number": _pickled(
        _BIG_NUMBER, _REBUILD + b"(" + _STORAGE + b"K\x00(" + b"h\x00" * 50 + b"t)\x89NtR"
    ),
    "a text encoded often": _pickled(
        _LONG_TEXT + b"0" + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 10_000
    ),
    "a long text as arguments": _pickled(_LONG_TEXT + b"0" + b"ctorch\nSize\nh\x00R0" * 5),
    "a long name of a class often": _pickled(_LONG_TEXT + b"0" + b"h\x00h\x00\x930" * 45_000),
    "a shape of a text of wide letters": _pickled(_WIDE_TEXT + b"ctorch\nSize\nh\x00\x85R0"),
    "arguments of a text of wide letters": _pickled(
        _WIDE_TEXT + b"ctorch._tensor\n_rebuild_from_type_v2\n(" + _REBUILD + b"Nh\x00NtR0"
    ),
    "a number of a long type": _pickled(
        b"X" + (6_000_000).to_bytes(4, "little") + b"f4," * 2_000_000 + b"q\x000"
        b"cnumpy.core.multiarray\nscalar\nh\x00C\x04\0\0\0\0\x86R0"
    ),
    "a list copied often": _pickled(_LONG_LIST + b"0" + b"ctorch\nSize\nh\x00\x85R" * 10_000),
    "a namespace filled often": _pickled(
        b"}("
        + b"".join(b"J" + k.to_bytes(4, "little") + b"N" for k in range(90_000))
        + b"uq\x000"
        + b"cargparse\nNamespace\n)\x81h\x00b" * 10_000
    ),
    "a namespace of tuples in tuples": _pickled(
        b"cargparse\nNamespace\n](" + b")" + b"\x85" * 150_000 + b"K\x01\x86e\x85\x81"
    ),
    "an array often": _pickled(_LONG_BYTES + _ARRAY_OF_IT + b"q\x010", b"](" + b"h\x01" * 20 + b"e"),
    "many arrays of the same bytes": _pickled(_LONG_BYTES, b"](" + _ARRAY_OF_IT * 200 + b"e"),
    "an array of 2**60 values": _pickled(b"", _CLAIMED_ARRAY % b"\x8a\x08\0\0\0\0\0\0\0\x10\x85"),
    "an array of 33 axes": _pickled(b"", _CLAIMED_ARRAY % (b"(" + b"K\x01" * 33 + b"t")),
    "an array of a negative side": _pickled(b"", _CLAIMED_ARRAY % b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86"),
    "an array of objects": _pickled(b"", (_CLAIMED_ARRAY % b"K\x01\x85").replace(b"f4", b"O8")),
    "an array of no state": _pickled(b"", _RECONSTRUCT),
    "bytes of a number": _pickled(b"cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R0"),
    "a bytearray of a number": _pickled(b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R0"),
    "a range": _pickled(b"cbuiltins\nrange\nJ\xff\xff\xff\x7f\x85R0"),
    "nothing on the stack": _pickled(b"0" * 10),
    "nothing marked": _pickled(b"e" * 10),
    "no end": lambda path: write_zip(path, b"\x80\x02"),
    "an empty pickle": lambda path: write_zip(path, b""),
    "nothing but an end": lambda path: write_zip(path, b"."),
    "a tensor of one value a billion times": _tensor(size=(10**9,), stride=(0,), n_values=1),
    "a tensor of 4 EB": _tensor(size=(2**60,), stride=(1,), n_values=2**60),
    "a record of 1 TB": _tensor(size=(2**38,), stride=(1,), n_values=2**38),
    "a negative stride": _tensor(size=(2,), stride=(-1,), offset=1),
    "a negative offset": _tensor(size=(2,), stride=(1,), offset=-1000),
    "a tensor beyond its record": _tensor(size=(2,), stride=(10**9,)),
    "no values of a huge shape": _tensor(size=(0, 2**47, 2**47), stride=(0, 0, 0)),
    "one record for 3 000 tensors": _shared,
    "members in one place": _overlapping,
    "a member that unfolds": lambda path: _unfolding(path, _LARGE_TENSOR, 200_000_000),
    "a pickle that unfolds": lambda path: _unfolding(path, _program(b"]" * 100_000_000)),
    "100 000 members": _many_members,
    "100 000 members before a second end": lambda path: _many_members(path, b"PK\x05\x06"),
    "a member of 4 GB": _claimed_size,
    "a record of 2**62 values": _record_length(2**62),
    "a record of -1 values": _record_length(-1),
    "a storage of 2**60 values in a tar": _tar_storage(2**60),
    "a storage of -6 values in a tar": _tar_storage(-6),
    "a tensor of 2**31 - 1 axes": _tar_tensor(2**31 - 1),
    "a tensor of -1 axes": _tar_tensor(-1, 0),
    "a tensor of a huge shape in a tar": _tar_tensor(1, 2**40, 1, 0),
    "a tensor from beyond in a tar": _tar_tensor(1, 6, 1, 2**40),
    "a tar member of 8 GB": _tar_header(b"77777777777"),
    "a tar member of a negative size": _tar_header(b"-1000"),
    "a tar member of a huge size": _tar_header(b"\x80" + b"\xff" * 11),
    "2**40 storages in a tar": lambda path: write_tar(path, _program(b""), pickle.dumps(2**40, 2)),
    "a header of 16 EB": lambda path: path.write_bytes(b"\xff" * 8 + b"{"),
    "a header of nothing": lambda path: path.write_bytes((1).to_bytes(8, "little") + b"{"),
    "a header of lists": lambda path: path.write_bytes(
        (2_000_000).to_bytes(8, "little") + b'{"a":' + b"[" * 1_999_995
    ),
    "a header of many tensors": _many_tensors(8_000),
    "a header of too many tensors": _many_tensors(200_000),
    "two pickles": _two_pickles,
    "a pickle in a bare zip": lambda path: wrap(b"", "zip", path),
}
