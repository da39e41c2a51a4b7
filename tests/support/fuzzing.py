"""Five hundred broken model files, loaded in child processes that may crash, hang or grow.

``python -m tests.support.fuzzing <folder> <first> <last>`` prints what came of each as a line of JSON:
tests/modules/checkpoint/test_fuzz.py checks them. Files follow from their number alone.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from modules.checkpoint import find_state_dict, load_weights, read_checkpoint, read_weights
from modules.common.errors import GlowSVCError
from tests.support.dos_payloads import DOS_PAYLOADS
from tests.support.published import write_encoder, write_fairseq
from tests.support.torch_files import save_tar, tensor_pickle, wrap, write_legacy, write_zip

N_FILES = 500
ROOM = 64 << 20  # bytes above the idle loader and twice the file
LONGEST = 20  # seconds, until a child is taken to hang
KEYS = ("model", "model_state_dict", "state_dict")


class ToyVoice(nn.Module):
    """Something to load: old and new kinds of names, and two precisions."""

    def __init__(self) -> None:
        super().__init__()
        self.pre = nn.Conv1d(8, 16, 3)
        self.flow = nn.utils.parametrizations.weight_norm(nn.Conv1d(16, 16, 5))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))


@cache
def originals(folder: Path) -> tuple[Path, ...]:
    """Write the whole files that the others are made from."""
    torch.manual_seed(0)
    voice = ToyVoice()
    optimizer = torch.optim.Adam(voice.parameters(), 1e-3)
    sum(p.sum() for p in voice.parameters()).backward()
    optimizer.step()
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = np.float64(0.1)  # type: ignore[index]
    content = {"model": voice.state_dict(), "optimizer": state, "iteration": 3, "learning_rate": 0.7}
    whole = voice.state_dict()
    half = {f"module.{name}": v.half() if v.is_floating_point() else v for name, v in whole.items()}
    floats = {name: value.detach().clone().float() for name, value in whole.items()}
    fairseq = {**floats, "label_embs_concat": torch.zeros(4, 2)}
    torch.save(content, folder / "zip.pth")
    torch.save(content, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_tar({"model": floats, "iteration": 3}, folder / "tar.pth")
    write_fairseq(folder / "fairseq.pt", fairseq, {"model": {"layers": [1, 2]}}, zipped=True)
    write_fairseq(folder / "old_fairseq.pt", fairseq, {"model": {"layers": [1, 2]}}, zipped=False)
    torch.save(half, folder / "half.pt")
    save_file(floats, folder / "tensors.safetensors")
    torch.save({"model": {name: value.numpy() for name, value in floats.items()}}, folder / "arrays.pt")
    write_encoder("dphubert", folder)
    write_encoder("wavlmbase+", folder)
    return tuple(sorted(path for path in folder.iterdir() if path.is_file()))


def write(number: int, folder: Path) -> tuple[str, Path]:
    """Write the broken file ``number``; return what was done to it, and its path."""
    path = folder / f"{number}.pth"
    if number < len(DOS_PAYLOADS):
        kind = list(DOS_PAYLOADS)[number]
        DOS_PAYLOADS[kind](path)
        return kind, path
    source = random.Random(number)
    kind = source.choice(list(MUTATIONS))
    original = source.choice(originals(folder))
    MUTATIONS[kind](source, original, path)
    return f"{kind} of {original.name}", path


def _cut(source: random.Random, original: Path, path: Path) -> None:
    data = original.read_bytes()
    path.write_bytes(data[: source.randrange(len(data))])


def _flip(source: random.Random, original: Path, path: Path) -> None:
    data = bytearray(original.read_bytes())
    for _ in range(source.choice((1, 1, 4, 64))):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def _flip_ends(source: random.Random, original: Path, path: Path) -> None:
    """Flip where the pickle or the list of members is: nothing there is noise."""
    data = bytearray(original.read_bytes())
    near = min(len(data), 3000)
    for _ in range(source.choice((1, 2, 8))):
        place = source.randrange(near)
        data[source.choice((place, len(data) - 1 - place))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def _move(source: random.Random, original: Path, path: Path) -> None:
    """Cut a piece out and put it, or nothing, or zeros, elsewhere."""
    data = original.read_bytes()
    begin, end = sorted(source.randrange(len(data)) for _ in range(2))
    place = source.randrange(len(data))
    rest = data[:begin] + source.choice((b"", b"\0" * (end - begin), data[begin:end] * 2)) + data[end:]
    path.write_bytes(rest[:place] + source.choice((b"", data[begin : begin + 100])) + rest[place:])


def _pickle_of(original: Path) -> tuple[bytes, dict[str, bytes]]:
    """Return the pickle and the records of a zip, or those of another file."""
    if not zipfile.is_zipfile(original):
        original = original.with_name("zip.pth")
    with zipfile.ZipFile(original) as file:
        members = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    records = {name[5:]: data for name, data in members.items() if name.startswith("data/")}
    return members["data.pkl"], records


def _other_pickle(source: random.Random, original: Path, path: Path) -> None:
    """Change the program but keep all checksums right."""
    pickled, records = _pickle_of(original)
    data = bytearray(pickled)
    for _ in range(source.choice((1, 1, 3, 20))):
        place = source.randrange(len(data))
        source.choice(
            (
                lambda at: data.__setitem__(at, source.randrange(256)),
                lambda at: data.insert(at, source.choice(b"()]}NK\x85\x86Rbsuae0q\x8f\x90\x94.\x81cQ")),
                lambda at: data.__delitem__(at),
                lambda at: data.__setitem__(slice(at, at), data[max(0, at - 30) : at]),
            )
        )(place)
    write = source.choice((write_zip, write_zip, write_legacy))
    write(path, bytes(data), records)


def _claims(source: random.Random, original: Path, path: Path) -> None:
    """Let a tensor of six values claim any shape, stride and place."""
    numbers = (0, 1, 2, 3, 6, 7, -1, 1000, 10**6, 2**31, 2**40, 2**62, 2**64, -(2**63))
    n_dims = source.choice((0, 1, 2, 2, 3, 20))
    size, stride = (tuple(source.choice(numbers) for _ in range(n_dims)) for _ in range(2))
    storage = source.choice((torch.FloatStorage, torch.HalfStorage, torch.BoolStorage, torch.LongStorage))
    offset, n_values = source.choice(numbers), source.choice((6, 6, 6, *numbers))
    pickled = tensor_pickle(size, stride, offset, n_values, storage)
    if source.random() < 0.5:
        write_zip(path, pickled, {"0": bytes(24)})
    else:
        length = source.choice((6, n_values)) % 2**63
        write_legacy(path, pickled, {"0": length.to_bytes(8, "little") + bytes(24)})


def _container(source: random.Random, original: Path, path: Path) -> None:
    """Put the file, or its parts, in a container where they do not belong."""
    data = original.read_bytes()
    pickled, records = _pickle_of(original)
    source.choice(
        (
            lambda: path.write_bytes(gzip.compress(data)),
            lambda: path.write_bytes(source.randbytes(source.randrange(1, 600)) + data),
            lambda: wrap(data, source.choice(("zip", "legacy", "tar")), path),
            lambda: write_zip(path, pickled, records, compression=zipfile.ZIP_DEFLATED),
            lambda: path.write_bytes(data + data),
            lambda: write_legacy(path, pickled, records),  # without the lengths
            lambda: path.write_bytes(pickled),
            lambda: write_zip(path, pickled, dict(list(records.items())[::2])),
        )
    )()


def _tensors(source: random.Random, original: Path, path: Path) -> None:
    """Change the header of a safetensors file."""
    data = original.with_name("tensors.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = source.choice(list(header))
    other: dict[str, Any] = {
        "shape": source.choice(([], [2**40], [-1], [2**62, 4], ["a"], [1] * 100)),
        "dtype": source.choice(("F64", "BOOL", "U8", "F4", "", 3)),
        "data_offsets": source.choice(([0, 10**12], [5, 1], [0, 1], [-4, 4], [10**20, 10**20])),
    }
    key = source.choice(list(other))
    header[name] = {**header[name], key: other[key]} if source.random() < 0.9 else None
    changed = json.dumps(header).encode()
    claimed = source.choice((len(changed),) * 4 + (len(changed) - 1, len(data), 2**63, 10**8))
    path.write_bytes(claimed.to_bytes(8, "little") + changed + data[8 + length :])


MUTATIONS: dict[str, Callable[[random.Random, Path, Path], None]] = {
    "a part": _cut,
    "flipped bits": _flip,
    "flipped bits at the ends": _flip_ends,
    "moved pieces": _move,
    "another pickle": _other_pickle,
    "another pickle ": _other_pickle,  # twice as likely: nothing else gets as far in
    "false claims": _claims,
    "another container": _container,
    "another header": _tensors,
}


def load(kind: str, path: Path) -> list[str]:
    """Load a file as published weights and as a voice model; return the messages of the refusals."""
    refused = []
    try:
        find_state_dict(read_weights(path, keep=KEYS), path, *KEYS)
    except GlowSVCError as error:
        refused.append(str(error))
    if kind not in DOS_PAYLOADS:
        try:
            load_weights(ToyVoice(), find_state_dict(read_checkpoint(path), path, "model"), path)
        except GlowSVCError as error:
            refused.append(str(error))
    return refused


def in_children(work: Callable[[Any], list[str]], items: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Do some work in a fork of this process, and in another one from where that died.

    Yields:
        For each item ``refused`` (what work returned), ``grown`` (bytes of memory above what there was
        before), ``seconds`` and ``ended``: "well", "with an error: ...", or by which signal.
    """
    done = 0
    while done < len(items):
        receive, send = os.pipe()
        begin = time.monotonic()
        child = os.fork()
        if not child:
            _limit(_memory("VmSize") + (1 << 30))
            with os.fdopen(send, "w") as answers:
                for item in items[done:]:
                    print(json.dumps(_measured(work, item)), file=answers, flush=True)
            os._exit(0)
        os.close(send)
        with os.fdopen(receive) as answers:
            for line in answers:
                yield json.loads(line)
                done += 1
                begin = time.monotonic()
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            ended = f"by signal {os.WTERMSIG(status)}"
            yield {"refused": [], "grown": 0, "ended": ended, "seconds": time.monotonic() - begin}
            done += 1


def _measured(work: Callable[[Any], list[str]], item: Any) -> dict[str, Any]:
    signal.alarm(LONGEST)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    before, begin = _memory("VmRSS"), time.monotonic()
    ended, refused = "well", []
    try:
        refused = work(item)
    except BaseException as error:  # noqa: BLE001 - what is looked for
        ended = f"with an error: {error!r:.300}"
    seconds, grown = time.monotonic() - begin, _memory("VmHWM") - before
    return {"refused": refused, "ended": ended, "grown": grown, "seconds": seconds}


def _limit(n_bytes: int) -> None:
    """Keep what this process asks for below what would hurt the machine that tests."""
    import resource

    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))


def _memory(field: str) -> int:
    """Return a size of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(field)), 0)


def main(folder: Path, first: int, last: int) -> None:
    """Write and load the files ``first`` to ``last``; print what came of each."""
    for whole in originals(folder):
        load("", whole)  # the idle loader has all that it imports, and its working memory
    for start in range(first, last, 50):
        numbers = range(start, min(start + 50, last))
        made = [write(number, folder) for number in numbers]
        results = in_children(lambda entry: load(*entry), made)
        for number, (kind, path), result in zip(numbers, made, results, strict=True):
            facts = {"number": number, "kind": kind, "size": path.stat().st_size, **result}
            print(json.dumps(facts), flush=True)
            path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
