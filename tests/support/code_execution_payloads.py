"""Model files that do something when a pickle reader obeys them: each creates a file.

They are real: tests/test_code_execution.py lets the standard reader run each. What
they ask for is spread over the ways a pickle has to run code.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

from tests.support.torch_files import wrap


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def _command(trace: Path) -> bytes:
    return _text(f"touch '{trace}'")


def _source(trace: Path) -> bytes:
    return _text(f"open({str(trace)!r}, 'w').close()")


# opcodes that leave one value on the stack, and the name that is to be in the refusal
PAYLOADS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "system": (lambda trace: b"cos\nsystem\n" + _command(trace) + b"\x85R", "os.system"),
    "posix": (lambda trace: b"cposix\nsystem\n" + _command(trace) + b"\x85R", "posix.system"),
    "exec": (lambda trace: b"cbuiltins\nexec\n" + _source(trace) + b"\x85R", "builtins.exec"),
    "python 2": (lambda trace: b"c__builtin__\neval\n" + _source(trace) + b"\x85R", "builtins.eval"),
    "process": (
        lambda trace: (
            b"csubprocess\ncheck_call\n(" + b"]" + _text("touch") + b"a" + _text(str(trace)) + b"atR"
        ),
        "subprocess.check_call",
    ),
    # map(os.system, [command]) does nothing until a tuple is made of it
    "new object": (
        lambda trace: (
            b"cbuiltins\ntuple\ncbuiltins\nmap\ncos\nsystem\n]" + _command(trace) + b"a\x86\x81\x85\x81"
        ),
        "builtins.map",
    ),
    # a namespace is given a method that takes its state, and then a state
    "set state": (
        lambda trace: (
            b"cargparse\nNamespace\n)\x81}"
            + _text("__setstate__")
            + b"cos\nsystem\nsb"
            + _command(trace)
            + b"b"
        ),
        "os.system",
    ),
    "instance": (lambda trace: b"(" + _command(trace) + b"ios\nsystem\n", "os.system"),
    "object": (lambda trace: b"(cos\nsystem\n" + _command(trace) + b"o", "os.system"),
    "stack": (
        lambda trace: b"\x8c\x02os\x8c\x06system\x93" + _command(trace) + b"\x85R",
        "os.system",
    ),
    "torch": (
        lambda trace: b"ctorch.utils.collect_env\nrun\n" + _command(trace) + b"\x85R",
        "torch.utils.collect_env.run",
    ),
    "numpy": (
        lambda trace: b"cnumpy.testing\nrunstring\n" + _source(trace) + b"}\x86R",
        "numpy.testing.runstring",
    ),
    "attribute": (
        lambda trace: (
            b"cbuiltins\ngetattr\ncos\nsystem\n" + _text("__call__") + b"\x86R" + _command(trace) + b"\x85R"
        ),
        "builtins.getattr",
    ),
}


def payload_pickle(name: str, trace: Path, key: str = "model") -> bytes:
    """Return the pickle of ``{key: {"weight": payload}}``, which creates the file ``trace``."""
    payload = PAYLOADS[name][0](trace)
    return b"\x80\x02}" + _text(key) + b"}" + _text("weight") + payload + b"ss."


def write_payload(path: Path, container: str, trace: Path, name: str = "system", key: str = "model") -> Path:
    """Write a file that, obeyed, creates ``trace``; ``container`` may be "pickle" for a bare one."""
    pickled = payload_pickle(name, trace, key)
    if container == "pickle":
        path.write_bytes(pickled)
        return path
    return wrap(pickled, container, path)


def write_outside(path: Path, container: str) -> Path:
    """Write a file whose model is an object kept outside of the pickle, by a name that is no storage."""
    return wrap(b"\x80\x02}" + _text("model") + _text("os.system") + b"\x85Qs.", container, path)


def run_as_pickle(pickled: bytes) -> None:
    """Let the standard reader run a pickle, as a careless loader would."""
    pickle.loads(pickled)
