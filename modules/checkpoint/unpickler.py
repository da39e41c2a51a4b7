"""A reader of pickles that can build tensors and plain values, and nothing else.

A pickle is a small program, and the standard reader obeys it: it imports what
the program names and calls it. ``torch.load(weights_only=True)`` calls only
what is on a short list. That keeps strangers' code out, but it has no place for
the foreign objects in fairseq's files and refuses legacy tar; it reads an
optimizer of 1.3 GB on the way to a model of 380 MB; and a file of 3 MB can end
the process (tuples in tuples as a key, which are hashed recursively) or fill
the memory (57 bytes of empty list for one byte of file).

So the program is interpreted here, on the opcodes that the standard library
parses. Names are looked up in modules/checkpoint/allowlist.py; tensors are only noted
down, so that no more need be read than is wanted; keys must hash fast, sets
become lists, and the steps are counted: time and memory follow from the size
of the file.
"""

from __future__ import annotations

import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from pickletools import genops
from typing import Any, BinaryIO

from modules.checkpoint.allowlist import (
    UNKNOWN,
    Attributes,
    Call,
    DamagedError,
    UnsafePickleError,
    pairs,
    resolve,
    restore,
)

_LONGEST_LINE = 1 << 16  # bytes


class PickleStream:
    """A file from where it is now, as a row of pickles.

    How much of it may be pickles, and how many steps they may take, follows
    from its size: what they make stays below that size plus 60 MB.

    Args:
        file: Open for reading.
        size: Bytes of the whole model file.
        text: Bytes of it that may be pickles, if not :func:`most_text`.
    """

    def __init__(self, file: BinaryIO, size: int, text: int | None = None) -> None:
        self._file = file
        self._size = size
        self._left = self._copies = most_text(size) if text is None else text
        self.steps = most_steps(size)

    def read(self, n: int) -> bytes:
        """Return ``n`` bytes, or what is left; raises DamagedError."""
        self._left -= n
        if self._left < 0:
            raise DamagedError("it is cut short, or holds more text than a model needs")
        return self._file.read(n)

    def readline(self) -> bytes:
        """Return a line with its end; raises DamagedError."""
        line = self._file.readline(_LONGEST_LINE)
        self._left -= len(line)
        return line

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """Return what lies here as ``struct`` has it; raises DamagedError."""
        data = self.read(struct.calcsize(layout))
        if len(data) < struct.calcsize(layout):
            raise DamagedError("it is cut short")
        return struct.unpack(layout, data)

    def skip(self, n: int) -> int:
        """Pass over ``n`` bytes that are no pickle; return where in the file they begin."""
        begin = self._file.tell()
        if not 0 <= n <= self._size - begin:
            raise DamagedError("it is cut short, or claims more values than it has")
        self._file.seek(n, 1)
        return begin

    def copy(self, arguments: tuple[Any, ...]) -> None:
        """Count what a call may copy of its arguments; raises DamagedError when it is too much."""
        for value in arguments:
            if isinstance(value, str | bytes | bytearray):
                self._copies -= len(value)
            elif hasattr(value, "__len__"):
                self.spend(len(value))
        if self._copies < 0:
            raise DamagedError("it copies more text than a model needs")

    def spend(self, steps: int) -> None:
        """Count steps; raises DamagedError when there are more than the file may ask for."""
        self.steps -= steps
        if self.steps < 0:
            raise DamagedError("it holds more objects than a model needs")


def most_text(size: int, arrays: bool = False) -> int:
    """Return how many bytes of pickle are let through in a file of ``size`` bytes.

    Args:
        size: Of the file.
        arrays: It may be nothing but a pickle: it is of a kind that keeps its numbers there.
    """
    return 8_000_000 + (size if arrays else size // 8)


def most_steps(size: int) -> int:
    """Return how many steps the pickles in a file of ``size`` bytes may take.

    The smallest of files may list 5000 tensors; a real one of 100 MB may list 20 000.
    """
    return 200_000 + size // 150


def unpickle(stream: PickleStream, persistent: Callable[[Any], Any], strict: bool = False) -> Any:
    """Interpret one pickle.

    Args:
        stream: Where it begins; afterwards where it has ended.
        persistent: Gives what a key stands for, of objects that are kept outside of the pickle.
        strict: Refuse classes that are not known, in place of making their objects UNKNOWN.

    Returns:
        Dicts, lists, tuples, text, bytes, numbers, None, dtypes, LazyTensor, Array and UNKNOWN.

    Raises:
        UnsafePickleError: It asks for a name that weights have no need of.
        DamagedError: It is no pickle, or none that a model file holds.
    """
    try:
        return _Machine(stream, persistent, strict).run()
    except (UnsafePickleError, DamagedError):
        raise
    except Exception as error:  # opcodes that make no sense together raise nearly anything
        raise DamagedError(f"it is damaged ({type(error).__name__} in its pickle)") from None


class _Machine:
    """The stack machine that pickles are written for."""

    def __init__(self, stream: PickleStream, persistent: Callable[[Any], Any], strict: bool) -> None:
        self.stream = stream
        self.persistent = persistent
        self.strict = strict
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        stream = self.stream
        for opcode, argument, _ in genops(stream):  # type: ignore[arg-type]  # it needs no more of a file
            stream.steps -= 1
            if stream.steps < 0:
                stream.spend(0)
            step = _STEPS.get(opcode.name)
            if step is None:
                raise DamagedError(f"its pickle uses {opcode.name}, which model files do not")
            step(self, argument)
        return self.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def items(self) -> list[Any]:
        """Return what was pushed since the last mark, which is undone."""
        items, self.stack = self.stack, self.marked.pop()
        return items

    def drop(self) -> None:
        self.pop() if self.stack else self.items()

    def pack(self, n: int) -> None:
        self.stack[-n:] = [(*self.stack[-n:],)]

    def remember(self, number: int) -> None:
        if not 0 <= number < 1 << 32:
            raise DamagedError("it is damaged: it keeps a value in no place")
        self.memo[number] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif target is not UNKNOWN:
            raise DamagedError("it appends to what is no list")

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            target.update(pairs(zip(items[::2], items[1::2], strict=True)))
        elif target is not UNKNOWN:
            raise DamagedError("it sets items of what is no dict")

    def push_dict(self, items: list[Any]) -> None:
        self.push({})
        self.update(items)

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise DamagedError("it asks for a name that is none")
        old = (IMPORT_MAPPING.get(module, module), name)
        self.push(resolve(*NAME_MAPPING.get((module, name), old), self.strict))  # Python 2's names, for torch

    def call(self, arguments: Any, function: Any) -> None:
        if function is UNKNOWN:
            self.push(UNKNOWN)
        elif isinstance(function, Call) and isinstance(arguments, tuple):
            self.stream.copy(arguments)
            self.push(function.function(*arguments))
        else:
            raise DamagedError("it calls what is no function")

    def create(self, items: list[Any]) -> None:
        self.call(tuple(items[1:]), items[0])

    def instance(self, names: str) -> None:
        items = self.items()
        self.name(*names.split(" ", 1))
        self.call(tuple(items), self.pop())

    def build(self, state: Any) -> None:
        target = self.stack[-1]
        if isinstance(target, Attributes) and isinstance(state, dict):
            self.stream.spend(len(state))
            target.update(state)
        else:
            restore(target, state)


_PLAIN = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, _: None),
    **dict.fromkeys(_PLAIN.split(), lambda m, value: m.stack.append(value)),
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_SET": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.drop(),
    "POP_MARK": lambda m, _: m.items().clear(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, number: m.stack.append(m.memo[number])),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, number: m.remember(number)),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "TUPLE": lambda m, _: m.push(tuple(m.items())),
    "TUPLE1": lambda m, _: m.pack(1),
    "TUPLE2": lambda m, _: m.pack(2),
    "TUPLE3": lambda m, _: m.pack(3),
    **dict.fromkeys(("LIST", "FROZENSET"), lambda m, _: m.push(m.items())),
    "DICT": lambda m, _: m.push_dict(m.items()),
    "APPEND": lambda m, _: m.extend([m.stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda m, _: m.extend(m.items())),
    "SETITEM": lambda m, _: m.update([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.update(m.items()),
    "GLOBAL": lambda m, names: m.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(m.stack.pop(-2), m.stack.pop()),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda m, _: m.call(m.stack.pop(), m.stack.pop())),
    "NEWOBJ_EX": lambda m, _: m.call(m.stack.pop(-2), (m.stack.pop(), m.stack.pop())[1]),  # no keywords here
    "OBJ": lambda m, _: m.create(m.items()),
    "INST": lambda m, names: m.instance(names),
    "BUILD": lambda m, _: m.build(m.stack.pop()),
    "PERSID": lambda m, key: m.stack.append(m.persistent(key)),
    "BINPERSID": lambda m, _: m.stack.append(m.persistent(m.stack.pop())),
}
