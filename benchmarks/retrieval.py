"""What a retrieval index costs and finds, against its size: building, searching, memory.

    python -m benchmarks.retrieval --sizes 10000 100000 1000000 --reduce --plot docs/retrieval.png

There is no singer with 1 M unit frames (5½ hours) here, so units are made up, in
the shape of real ones rather than as independent noise, in which no neighbour
is near: a path through 100 targets (phones) in 24 dimensions, 4 to 15 frames
from one to the next, each met a little differently each time; bent by a random
layer of tanh into 768 channels; and noise. Another singer is the same targets,
all shifted. They are written as preprocess_hubert_f0.py would and indexed as
train_index.py does. Every step runs in a process of its own, so that its memory
is its own. Times are those of the processor, which other work does not lengthen:
on several cores, what all of them spend.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import table
from benchmarks.memory import peak

DIMS = 768
CLIP = 500  # frames, 10 s
MINUTE = 3000  # frames, in slices of 30 s
_LATENT, _HIDDEN, _PHONES = 24, 256, 100
_NOISE = 0.05  # of values whose deviation is about 0.77


def made_up(n: int, dims: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Return units (n, D) of one clip; ``shift`` moves the singer."""
    world, rng = np.random.default_rng(0), np.random.default_rng((1, seed))
    phones = 2.0 * world.standard_normal((_PHONES, _LATENT))
    bend = world.standard_normal((_LATENT, _HIDDEN)) / np.sqrt(_LATENT)
    bias = 0.5 * world.standard_normal(_HIDDEN)
    spread = world.standard_normal((_HIDDEN, dims)) / np.sqrt(_HIDDEN)
    n_targets = n // 4 + 2
    targets = phones[rng.integers(_PHONES, size=n_targets)] + 0.5 * rng.standard_normal((n_targets, _LATENT))
    times = np.cumsum(rng.integers(4, 16, n_targets)) - 4
    path = np.stack([np.interp(np.arange(n), times, track) for track in targets.T], 1)
    path += shift * np.random.default_rng(2).standard_normal(_LATENT)
    units = np.tanh(path @ bend + bias) @ spread
    return (units + _NOISE * rng.standard_normal(units.shape)).astype(np.float32)


def songs(dims: int) -> dict[str, np.ndarray]:
    """Return a minute of units (U, D) by the indexed singer that is in no index, and one by another."""
    return {
        who: np.concatenate([made_up(CLIP, dims, 10**6 + i, shift) for i in range(MINUTE // CLIP)])
        for who, shift in (("same", 0.0), ("other", 0.5))
    }


def main(argv: Sequence[str] = ()) -> None:
    """Measure each size; print the tables, and draw the curve if asked to."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=[10_000, 30_000], help="frames, ascending (10000 30000)")
    add("--dims", type=int, default=DIMS, help="channels of a unit (%(default)s)")
    add("--reduce", action="store_true", help="also reduce the largest to 10 000 centres")
    add("--plot", type=Path, metavar="FILE", help="draw the cost against the size there")
    args = parser.parse_args(argv)
    results, found = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run("write", folder / "all" / "singer", max(args.sizes), args.dims)
        for size in args.sizes:
            _link(folder / "all" / "singer", folder / str(size) / "singer", size)
            built = _run("build", folder / str(size), folder / f"{size}.pkl", 0)
            results.append(built | _run("search", folder / f"{size}.pkl", args.dims, 0))
        largest = folder / str(args.sizes[-1])
        exact = folder / "exact.npz"
        _run("exact", largest / "singer", args.dims, exact)
        kinds = {
            "all vectors": (f"{args.sizes[-1]}.pkl", 0),
            "all, 1 list searched": (f"{args.sizes[-1]}.pkl", 1),
        }
        reduced = {}
        if args.reduce:
            reduced = _run("build", largest, folder / "reduced.pkl", 1)
            reduced |= _run("search", folder / "reduced.pkl", args.dims, 0)
            kinds["10 000 centres"] = ("reduced.pkl", 0)
        for kind, (file, nprobe) in kinds.items():
            found[kind] = _run("judge", folder / file, args.dims, nprobe, exact)
    _print(results, reduced, found)
    if args.plot:
        _draw(results, args.plot)


def _print(results: list[dict[str, Any]], reduced: dict[str, Any], found: dict[str, Any]) -> None:
    table(
        [
            "vectors",
            "lists",
            "searched",
            "build",
            "its peak memory",
            "file",
            "load",
            "search, per minute of song",
            "its peak memory",
        ],
        [
            [
                f"{row['frames']:,}" + (f" → {row['vectors']:,}" if row["vectors"] < row["frames"] else ""),
                row["lists"],
                row["nprobe"],
                f"{row['build']:.1f} s",
                f"{row['build_memory'] / 1e6:.0f} MB",
                f"{row['bytes'] / 1e6:.0f} MB",
                f"{row['load']:.2f} s",
                f"{row['search']:.2f} s",
                f"{row['search_memory'] / 1e6:.0f} MB",
            ]
            for row in [*results, *([reduced] if reduced else [])]
        ],
    )
    print()
    table(
        ["of the largest", "recall@8, same singer", "off by", "recall@8, another singer", "off by"],
        [
            [
                kind,
                *(cell for who in ("same", "other") for cell in (f"{row[who][0]:.3f}", f"{row[who][1]:.1%}")),
            ]
            for kind, row in found.items()
        ],
    )


def _draw(results: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sizes = [row["vectors"] for row in results]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for key, label in (("build", "build"), ("load", "load"), ("search", "search, per minute of song")):
        left.plot(sizes, [row[key] for row in results], "o-", label=label)
    for key, label in (("build_memory", "build"), ("search_memory", "search")):
        right.plot(sizes, [max(row[key] / 1e6, 1.0) for row in results], "o-", label=label)
    left.set(xscale="log", yscale="log", xlabel="vectors", ylabel="processor time, s")
    right.set(xscale="log", yscale="log", xlabel="vectors", ylabel="peak memory over idle, MB")
    for axes in (left, right):
        axes.grid(True, alpha=0.3)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _link(source: Path, target: Path, n_frames: int) -> None:
    """Give ``target`` the first clips of ``source``."""
    target.mkdir(parents=True)
    for wav in sorted(source.glob("*.wav"))[: -(-n_frames // CLIP)]:
        for path in (wav, wav.with_name(f"{wav.name}.soft.pt"), wav.with_name(f"{wav.name}.cache.json")):
            os.link(path, target / path.name)


def _run(work: str, *args: object) -> dict[str, Any]:
    """Do ``work`` in a process of its own; return what it prints."""
    script = [sys.executable, "-m", "benchmarks.retrieval", f"--{work}", *map(str, args)]
    done = subprocess.run(script, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def _write(folder: str, n_frames: str, dims: str) -> dict[str, Any]:
    import torch

    from modules.dataset.feature_record import FeatureRecord, identify
    from modules.dataset.features import save_feature

    Path(folder).mkdir(parents=True)
    for number, begin in enumerate(range(0, int(n_frames), CLIP)):
        frames = made_up(min(CLIP, int(n_frames) - begin), int(dims), number)
        wav = Path(folder) / f"{number:06}.wav"
        wav.touch()
        save_feature(wav, "units", torch.from_numpy(frames.T.copy()).unsqueeze(0))
        FeatureRecord(audio=identify(wav)).finish(wav, "units", {"encoder": "vec768l12"})
    return {}


def _build(root: str, path: str, reduce: str) -> dict[str, Any]:
    from cluster.index_builder import build_index
    from cluster.unit_reader import SpeakerUnits

    idle = _idle()
    begin = time.process_time()
    units = SpeakerUnits(Path(root) / "singer")
    limit = 1 if int(reduce) else 0
    built = build_index(Path(path), {"singer": units}, {"singer": 0}, "vec768l12", max_frames=limit)["singer"]
    return {
        "frames": built.n_frames,
        "vectors": built.n_vectors,
        "lists": built.n_lists,
        "nprobe": built.nprobe,
        "recall": built.recall,
        "build": time.process_time() - begin,
        "build_memory": 1024 * peak() - idle,
        "bytes": Path(path).stat().st_size,
    }


def _idle() -> int:
    """Import what the work needs; return the memory of that, bytes."""
    import torch  # noqa: F401

    from cluster.search import load_faiss

    load_faiss()
    return 1024 * peak()


def _load(path: str, dims: str, nprobe: str) -> Any:
    from cluster import load_blender

    blender = load_blender("retrieval", path, speakers={"singer": 0}, encoder="vec768l12", ssl_dim=int(dims))
    blender.prepare("singer")
    if int(nprobe):
        blender._vectors("singer")._index.nprobe = int(nprobe)
    return blender


def _search(path: str, dims: str, nprobe: str) -> dict[str, Any]:
    song = songs(int(dims))["other"].T
    idle = _idle()
    begin = time.process_time()
    blender = _load(path, dims, nprobe)
    load = time.process_time() - begin
    slices = np.split(song, 2, axis=1)
    blender.blend(slices[0][:, :100], "singer", 1.0)  # the threads are there
    begin = time.process_time()
    for part in slices:
        blender.blend(part, "singer", 0.5)
    search = time.process_time() - begin
    return {"load": load, "search": search, "search_memory": 1024 * peak() - idle}


def _exact(folder: str, dims: str, path: str) -> dict[str, Any]:
    """Find the true neighbours of the songs, by comparing all."""
    from cluster.index_builder import _assign
    from cluster.unit_reader import SpeakerUnits

    units = SpeakerUnits(Path(folder))
    held = np.zeros(units.n_frames, bool)
    found = {}
    for who, song in songs(int(dims)).items():
        _, numbers = _assign(units, song[:1], song, held)
        order, back = np.unique(numbers, return_inverse=True)
        found[who] = units.pick(order)[back.reshape(numbers.shape)]
    np.savez(path, same=found["same"], other=found["other"])
    return {}


def _judge(path: str, dims: str, nprobe: str, exact: str) -> dict[str, Any]:
    """Compare what is found with the true neighbours: how many, and how far the mean of them is off."""
    from cluster.blend import neighbour_weights

    vectors = _load(path, dims, nprobe)._vectors("singer")
    result = {}
    with np.load(exact) as archive:
        for who, song in songs(int(dims)).items():
            true = archive[who]
            scores, found = vectors.nearest(song, 8)
            shared = [len({*map(bytes, a)} & {*map(bytes, b)}) for a, b in zip(true, found, strict=True)]
            own = ((true - song[:, None]) ** 2).sum(2)
            wanted = np.einsum("uk,ukd->ud", neighbour_weights(own), true)
            blended = np.einsum("uk,ukd->ud", neighbour_weights(scores), found)
            off = (
                np.linalg.norm(blended - wanted, axis=1).mean() / np.linalg.norm(wanted - song, axis=1).mean()
            )
            result[who] = float(np.mean(shared)) / 8, float(off)
    return result


_WORKS: dict[str, Callable[..., dict[str, Any]]] = {
    "--write": _write,
    "--build": _build,
    "--search": _search,
    "--exact": _exact,
    "--judge": _judge,
}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in _WORKS:
        print(json.dumps(_WORKS[sys.argv[1]](*sys.argv[2:])))
    else:
        main(sys.argv[1:])
