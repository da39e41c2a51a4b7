"""A reader of pickles that can build tensors and plain values, and nothing else.

A pickle is a small program, and the standard reader obeys it: it imports what
the program names and calls it. ``torch.load(weights_only=True)`` calls only what
is on a short list (``safe_globals`` extends it, for the whole process), but is
not enough here: a file of 3 MB can end the process (tuples in tuples as a key are
hashed recursively) or fill the memory (57 bytes of empty list for one byte of
file); an optimizer of 1.3 GB is read on the way to a model of 380 MB; the tar
format is unknown. ``pickle.Unpickler`` with another ``find_class`` shares the
first fault.

So the standard library's reader in Python is cut down: of its opcodes those that
build plain values are taken over, those that name, call, hash or change something
are replaced, and the others are refused. Names stand for what
modules/checkpoint/allowlist.py says; tensors are only noted down, so that no more
need be read than is wanted; keys must hash fast, sets become lists, and the steps
are counted: time and memory follow from the size of the file.
"""

from __future__ import annotations

import pickle
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from typing import Any, BinaryIO

from modules.checkpoint.allowlist import DamagedError, resolve, restore, safe_items

_LONGEST_LINE = 1 << 16  # bytes


class PickleStream:
    """A file from its present position on, as a sequence of pickles.

    How many bytes of it may be pickles, and how many steps they may take, follows
    from its ``size`` in bytes: what they build stays below that plus 60 MB. With
    ``arrays`` all of it may be pickles: it is of a kind that keeps its numbers there.
    All methods raise DamagedError when there is not enough.
    """

    def __init__(self, file: BinaryIO, size: int, arrays: bool = False) -> None:
        self._file = file
        self._size = size
        self._left = self._copies = 8_000_000 + (size if arrays else size // 8)  # bytes
        self._steps = max_opcodes(size)

    def read(self, n: int) -> bytes:
        """Read ``n`` bytes."""
        self._left -= n
        if self._left < 0:
            raise DamagedError("it is cut short, or holds more text than a model needs")
        data = self._file.read(n)
        if len(data) < n:
            raise DamagedError("it is cut short")
        return data

    def readline(self) -> bytes:
        """Read a line with its end."""
        line = self._file.readline(_LONGEST_LINE)
        self._left -= len(line)
        return line

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """Read numbers in a layout of ``struct``."""
        return struct.unpack(layout, self.read(struct.calcsize(layout)))

    def skip(self, n: int) -> int:
        """Pass over ``n`` bytes that are not a pickle; returns where in the file they begin."""
        begin = self._file.tell()
        if not 0 <= n <= self._size - begin:
            raise DamagedError("it is cut short, or claims more values than it has")
        self._file.seek(n, 1)
        return begin

    def spend(self, arguments: tuple[Any, ...] = ()) -> None:
        """Count a step, and what a call may copy of its arguments."""
        self._steps -= 1 + max(0, len(arguments) - 16)  # a tensor takes eight
        for value in arguments:
            if isinstance(value, str | bytes | bytearray):
                self._copies -= len(value)
            elif hasattr(value, "__len__"):
                self._steps -= len(value)
        if self._steps < 0:
            raise DamagedError("it holds more objects than a model needs")
        if self._copies < 0:
            raise DamagedError("it copies more text than a model needs")


def max_opcodes(size: int) -> int:
    """Steps that the pickles in a file of ``size`` bytes may take.

    The smallest of files may list 5000 tensors; a real one of 100 MB may list 20 000.
    """
    return 200_000 + size // 150


_Base: Any = pickle._Unpickler  # type: ignore[attr-defined]


class Unpickler(_Base):
    """The stack machine that pickles are written for; ``load`` reads one.

    What it builds: dicts, lists, tuples, text, bytes, numbers, None, dtypes, LazyTensor, Array and UNKNOWN.
    ``load`` raises UnsafePickleError if the pickle asks for a name that weights have no need of; opcodes
    that make no sense together raise nearly any Exception. ``persistent`` gives what a key stands for, of
    objects outside of the pickle; ``strict`` refuses unknown classes, whose objects are UNKNOWN otherwise.
    """

    def __init__(self, stream: PickleStream, persistent: Callable[[Any], Any], strict: bool = False) -> None:
        super().__init__(stream, encoding="latin-1")
        self.stream = stream
        self.persistent_load = persistent
        self.strict = strict
        self.read, self.readline = stream.read, stream.readline
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []  # the stacks below each mark
        self.append = self.stack.append

    def load(self) -> Any:  # noqa: D102
        while (opcode := self.read(1)) != pickle.STOP:
            self.stream.spend()
            if opcode not in _OPCODES:
                raise DamagedError(f"its pickle uses opcode {opcode!r}, which model files do not")
            _OPCODES[opcode](self)
        return self.stack.pop()

    def find_class(self, module: str, name: str) -> Any:  # noqa: D102
        old = (IMPORT_MAPPING.get(module, module), name)
        return resolve(*NAME_MAPPING.get((module, name), old), self.strict)  # Python 2's names, for torch

    def _instantiate(self, function: Any, arguments: Any) -> None:
        if not isinstance(arguments, tuple | list):
            raise DamagedError("it calls a function without arguments")
        self.stream.spend(tuple(arguments))
        self.append(function(*arguments))

    def _call(self, arguments: Any) -> None:
        self._instantiate(self.stack.pop(), arguments)

    def _push_dict(self, items: list[Any]) -> None:
        self.append({})
        self._update(items)

    def _update(self, items: list[Any]) -> None:
        self.stack[-1].update(safe_items(zip(items[::2], items[1::2], strict=True)))

    def _put(self, number: int) -> None:
        if not 0 <= number < 1 << 32:
            raise DamagedError("it is damaged: it keeps a value in no place")
        self.memo[number] = self.stack[-1]

    def _build(self, state: Any) -> None:
        self.stream.spend((state,))
        restore(self.stack[-1], state)


_AS_THEY_ARE = (
    "PROTO MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES "
    "SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS "
    "EMPTY_DICT GET BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL INST OBJ PERSID "
    "BINPERSID"
)
_OPCODES: dict[bytes, Callable[[Any], Any]] = {
    **{code: _Base.dispatch[code[0]] for code in (getattr(pickle, name) for name in _AS_THEY_ARE.split())},
    pickle.FRAME: lambda m: m.read(8),
    pickle.BYTEARRAY8: lambda m: m.append(bytearray(m.read(*m.stream.numbers("<Q")))),
    pickle.PUT: lambda m: m._put(int(m.readline())),
    pickle.DICT: lambda m: m._push_dict(m.pop_mark()),
    pickle.SETITEM: lambda m: m._update([m.stack.pop(-2), m.stack.pop()]),
    pickle.SETITEMS: lambda m: m._update(m.pop_mark()),
    pickle.REDUCE: lambda m: m._call(m.stack.pop()),
    pickle.NEWOBJ: lambda m: m._call(m.stack.pop()),
    pickle.NEWOBJ_EX: lambda m: (m.stack.pop(), m._call(m.stack.pop())),  # without its keywords
    pickle.BUILD: lambda m: m._build(m.stack.pop()),
    # sets become lists: what is in a set would have to be hashed
    pickle.EMPTY_SET: _Base.load_empty_list,
    pickle.FROZENSET: _Base.load_list,
    pickle.ADDITEMS: _Base.load_appends,
}
