"""Cost and accuracy of a retrieval index against its size: building, searching, memory.

    python -m benchmarks.retrieval --sizes 10000 100000 1000000 --reduce --plot docs/retrieval.png

There is no singer with 1 M unit frames (5½ hours) here, so units are synthetic, in
the shape of real ones rather than independent noise, which has no near neighbours:
a path through 100 targets (phones) in 24 dimensions, 4 to 15 frames from one to
the next, with some variation each time; mapped by a random layer of tanh to 768
channels; and noise. Another singer has the same targets, all shifted. They are
written as preprocess_hubert_f0.py would and indexed as train_index.py does. Every
step runs in a process of its own, so that its memory is its own. Times are CPU
times, which other work does not affect, summed over all cores.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import isolated, peak_memory, table, temporary_folder
from modules.common.cli import make_parser

DIMS = 768
CLIP = 500  # frames, 10 s
MINUTE = 3000  # frames, in slices of 30 s
LATENT, HIDDEN, PHONES = 24, 256, 100
NOISE = 0.05  # of values whose deviation is about 0.77
_BUILD = ("vectors", "lists", "searched", "build", "its peak memory", "file")
_SEARCH = ("load", "search, per minute of song", "its peak memory")


def synthetic_units(n: int, dims: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Units (n, D) of one clip; ``shift`` moves all targets, as another singer does."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng((1, seed))
    phones = 2.0 * fixed.standard_normal((PHONES, LATENT))
    weight = fixed.standard_normal((LATENT, HIDDEN)) / np.sqrt(LATENT)
    bias = 0.5 * fixed.standard_normal(HIDDEN)
    output = fixed.standard_normal((HIDDEN, dims)) / np.sqrt(HIDDEN)
    n_targets = n // 4 + 2
    targets = phones[rng.integers(PHONES, size=n_targets)] + 0.5 * rng.standard_normal((n_targets, LATENT))
    times = np.cumsum(rng.integers(4, 16, n_targets)) - 4
    path = np.stack([np.interp(np.arange(n), times, track) for track in targets.T], 1)
    path += shift * np.random.default_rng(2).standard_normal(LATENT)
    units = np.tanh(path @ weight + bias) @ output
    return (units + NOISE * rng.standard_normal(units.shape)).astype(np.float32)


def songs(dims: int) -> dict[str, np.ndarray]:
    """A minute of units (U, D) by the indexed singer that is in no index, and one by another singer."""
    return {
        singer: np.concatenate([synthetic_units(CLIP, dims, 10**6 + i, shift) for i in range(MINUTE // CLIP)])
        for singer, shift in (("same", 0.0), ("other", 0.5))
    }


def main(argv: Sequence[str] = ()) -> None:
    """Measure each size; print the tables, and draw the curve if asked to."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=[10_000, 30_000], help="frames, ascending (10000 30000)")
    add("--dims", type=int, default=DIMS, help="channels of a unit (%(default)s)")
    add("--reduce", action="store_true", help="also reduce the largest to 10 000 centres")
    add("--plot", type=Path, metavar="FILE", help="draw the cost against the size there")
    args = parser.parse_args(argv)
    rows, recall = [], {}
    with temporary_folder() as folder:
        isolated(write_units, folder / "all" / "singer", max(args.sizes), args.dims)
        for size in args.sizes:
            link_clips(folder / "all" / "singer", folder / str(size) / "singer", size)
            built = isolated(build, folder / str(size), folder / f"{size}.pkl", 0)
            rows.append(built | isolated(search, folder / f"{size}.pkl", args.dims))
        full, largest = rows.copy(), folder / str(args.sizes[-1])
        exact = folder / "exact.npz"
        isolated(_write_exact, largest / "singer", args.dims, exact)
        index = f"{args.sizes[-1]}.pkl"
        kinds = {"all vectors": (index, 0), "all, 1 list searched": (index, 1)}
        if args.reduce:
            reduced = isolated(build, largest, folder / "reduced.pkl", 1)
            rows.append(reduced | isolated(search, folder / "reduced.pkl", args.dims))
            kinds["10 000 centres"] = ("reduced.pkl", 0)
        for kind, (file, nprobe) in kinds.items():
            recall[kind] = isolated(_recall, folder / file, args.dims, nprobe, exact)
    table([*_BUILD, *_SEARCH], list(map(_cells, rows)))
    print()
    table(
        ["of the largest", "recall@8, same singer", "off by", "recall@8, another singer", "off by"],
        [
            [kind, *(cell for share, error in row.values() for cell in (f"{share:.3f}", f"{error:.1%}"))]
            for kind, row in recall.items()
        ],
    )
    if args.plot:
        _draw(full, args.plot)


def _cells(row: dict[str, Any]) -> list[str]:
    reduced = f" → {row['vectors']:,}" if row["vectors"] < row["frames"] else ""
    memory = [f"{row[key] / 1e6:.0f} MB" for key in ("build_memory", "bytes", "search_memory")]
    build = [f"{row['frames']:,}{reduced}", row["lists"], row["nprobe"], f"{row['build']:.1f} s", *memory[:2]]
    return [*build, f"{row['load']:.2f} s", f"{row['search']:.2f} s", memory[2]]


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    sizes = [row["vectors"] for row in rows]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for key, label in (("build", "build"), ("load", "load"), ("search", "search, per minute of song")):
        left.plot(sizes, [row[key] for row in rows], "o-", label=label)
    for key, label in (("build_memory", "build"), ("search_memory", "search")):
        right.plot(sizes, [max(row[key] / 1e6, 1.0) for row in rows], "o-", label=label)
    left.set(xscale="log", yscale="log", xlabel="vectors", ylabel="processor time, s")
    right.set(xscale="log", yscale="log", xlabel="vectors", ylabel="peak memory over idle, MB")
    for axes in (left, right):
        axes.grid(True, alpha=0.3)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def link_clips(source: Path, target: Path, n_frames: int) -> None:
    """Hard-link the first clips of ``source`` to ``target``."""
    target.mkdir(parents=True)
    for wav in sorted(source.glob("*.wav"))[: -(-n_frames // CLIP)]:
        for path in (wav, wav.with_name(f"{wav.name}.soft.pt"), wav.with_name(f"{wav.name}.cache.json")):
            os.link(path, target / path.name)


def write_units(folder: Path, n_frames: int, dims: int) -> None:
    """Write clips of synthetic units (D, U), as step 3 would."""
    import torch

    from modules.dataset.feature_record import FeatureRecord, identify
    from modules.dataset.features import save_feature

    folder.mkdir(parents=True)
    for number, begin in enumerate(range(0, n_frames, CLIP)):
        frames = synthetic_units(min(CLIP, n_frames - begin), dims, number)
        wav = folder / f"{number:06}.wav"
        wav.touch()
        save_feature(wav, "units", torch.from_numpy(frames.T.copy()).unsqueeze(0))
        FeatureRecord(audio=identify(wav)).finish(wav, "units", {"encoder": "vec768l12"})


def build(root: Path, path: Path, limit: int) -> dict[str, Any]:
    """Build an index, reduced to centres above ``limit`` frames unless that is 0."""
    from cluster.index_builder import build_index
    from cluster.unit_reader import SpeakerUnits

    idle = _idle_memory()
    begin = time.process_time()
    units = {"singer": SpeakerUnits(root / "singer")}
    built = build_index(path, units, {"singer": 0}, "vec768l12", max_frames=limit)["singer"]
    return {
        "frames": built.n_frames,
        "vectors": built.n_vectors,
        "lists": built.n_lists,
        "nprobe": built.nprobe,
        "build": time.process_time() - begin,
        "build_memory": peak_memory() - idle,
        "bytes": path.stat().st_size,
    }


def _idle_memory() -> int:
    """Memory of the imports that the work needs, bytes."""
    import torch  # noqa: F401

    from cluster.search import load_faiss

    load_faiss()
    return peak_memory()


def _load(path: Path, dims: int, nprobe: int = 0) -> Any:
    from cluster import load_blender

    blender = load_blender("retrieval", path, speakers={"singer": 0}, encoder="vec768l12", ssl_dim=dims)
    blender.prepare("singer")
    if nprobe:
        blender._vectors("singer")._index.nprobe = nprobe
    return blender


def search(path: Path, dims: int) -> dict[str, float]:
    """Load an index and search a minute of song in it; processor seconds and peak memory in bytes."""
    song = songs(dims)["other"].T
    idle = _idle_memory()
    begin = time.process_time()
    blender = _load(path, dims)
    load = time.process_time() - begin
    slices = np.split(song, 2, axis=1)
    blender.blend(slices[0][:, :100], "singer", 1.0)  # starts the threads
    begin = time.process_time()
    for part in slices:
        blender.blend(part, "singer", 0.5)
    search = time.process_time() - begin
    return {"load": load, "search": search, "search_memory": peak_memory() - idle}


def _write_exact(folder: Path, dims: int, path: Path) -> None:
    """Find the true neighbours of the songs by exhaustive search."""
    from cluster.index_builder import _assign
    from cluster.lists import Lists
    from cluster.unit_reader import SpeakerUnits

    units = SpeakerUnits(folder)
    held_out = np.zeros(units.n_frames, bool)
    found = {}
    for singer, song in songs(dims).items():
        _, numbers = _assign(units, Lists.fit(song, 1), song, held_out)
        order, back = np.unique(numbers, return_inverse=True)
        found[singer] = units.pick(order)[back.reshape(numbers.shape)]
    np.savez(path, same=found["same"], other=found["other"])


def _recall(path: Path, dims: int, nprobe: int, exact: Path) -> dict[str, tuple[float, float]]:
    """Share of the true neighbours that are found, and the relative error of their mean, by singer."""
    from cluster.blend import neighbour_weights

    vectors = _load(path, dims, nprobe)._vectors("singer")
    result = {}
    with np.load(exact) as archive:
        for singer, song in songs(dims).items():
            true = archive[singer]
            scores, found = vectors.nearest(song, 8)
            shared = [len({*map(bytes, a)} & {*map(bytes, b)}) for a, b in zip(true, found, strict=True)]
            own = ((true - song[:, None]) ** 2).sum(2)
            wanted = np.einsum("uk,ukd->ud", neighbour_weights(own), true)
            blended = np.einsum("uk,ukd->ud", neighbour_weights(scores), found)
            error = (
                np.linalg.norm(blended - wanted, axis=1).mean() / np.linalg.norm(wanted - song, axis=1).mean()
            )
            result[singer] = float(np.mean(shared)) / 8, float(error)
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
