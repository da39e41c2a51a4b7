"""Model files that do something when a pickle reader obeys them: each creates a file.

They are real: tests/test_code_execution.py lets the standard reader run each. What
they ask for is spread over the ways a pickle has to run code.
"""

from __future__ import annotations

import pickle
from pathlib import Path

from tests.support.torch_files import wrap


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


# opcodes that leave one value on the stack, with COMMAND for a text that the shell runs, SOURCE for one that
# Python runs and FILE for the name of the file; and the name that is to be in the refusal
PAYLOADS: dict[str, tuple[bytes, str]] = {
    "system": (b"cos\nsystem\nCOMMAND\x85R", "os.system"),
    "posix": (b"cposix\nsystem\nCOMMAND\x85R", "posix.system"),
    "exec": (b"cbuiltins\nexec\nSOURCE\x85R", "builtins.exec"),
    "python 2": (b"c__builtin__\neval\nSOURCE\x85R", "builtins.eval"),
    "process": (
        b"csubprocess\ncheck_call\n(]" + _text("touch") + b"aFILEatR",
        "subprocess.check_call",
    ),
    # map(os.system, [command]) does nothing until a tuple is made of it
    "new object": (
        b"cbuiltins\ntuple\ncbuiltins\nmap\ncos\nsystem\n]COMMANDa\x86\x81\x85\x81",
        "builtins.map",
    ),
    # a namespace is given a method that takes its state, and then a state
    "set state": (
        b"cargparse\nNamespace\n)\x81}" + _text("__setstate__") + b"cos\nsystem\nsbCOMMANDb",
        "os.system",
    ),
    "instance": (b"(COMMANDios\nsystem\n", "os.system"),
    "object": (b"(cos\nsystem\nCOMMANDo", "os.system"),
    "stack": (b"\x8c\x02os\x8c\x06system\x93COMMAND\x85R", "os.system"),
    "torch": (b"ctorch.utils.collect_env\nrun\nCOMMAND\x85R", "torch.utils.collect_env.run"),
    "numpy": (b"cnumpy.testing\nrunstring\nSOURCE}\x86R", "numpy.testing.runstring"),
    "attribute": (
        b"cbuiltins\ngetattr\ncos\nsystem\n" + _text("__call__") + b"\x86RCOMMAND\x85R",
        "builtins.getattr",
    ),
}


def payload_pickle(name: str, trace: Path, key: str = "model") -> bytes:
    """Return the pickle of ``{key: {"weight": payload}}``, which creates the file ``trace``."""
    payload = (
        PAYLOADS[name][0].replace(b"COMMAND", _text(f"touch '{trace}'")).replace(b"FILE", _text(str(trace)))
    )
    payload = payload.replace(b"SOURCE", _text(f"open({str(trace)!r}, 'w').close()"))
    return b"\x80\x02}" + _text(key) + b"}" + _text("weight") + payload + b"ss."


def write_payload(path: Path, container: str, trace: Path, name: str = "system", key: str = "model") -> Path:
    """Write a file that, obeyed, creates ``trace``; ``container`` may be "pickle" for a bare one."""
    pickled = payload_pickle(name, trace, key)
    if container == "pickle":
        path.write_bytes(pickled)
        return path
    return wrap(pickled, container, path)


def write_outside(path: Path, container: str) -> Path:
    """Write a file whose model is an object kept outside of the pickle, by a name that is not a storage."""
    return wrap(b"\x80\x02}" + _text("model") + _text("os.system") + b"\x85Qs.", container, path)


def run_as_pickle(pickled: bytes) -> None:
    """Let the standard reader run a pickle, as a careless loader would."""
    pickle.loads(pickled)
