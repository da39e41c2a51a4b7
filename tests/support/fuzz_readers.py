"""Mutations of every kind of file that strangers may write, each read in a child with its memory measured.

``make fuzz`` reads 500 of each kind. A file follows from its kind and seed alone::

    python -m tests.support.fuzz_readers --kinds sound --first 1234 --number 1
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnx
import soundfile
import torch

from cluster.index_builder import build_index
from cluster.index_file import open_index
from cluster.kmeans_file import read_centres, write_centres
from cluster.unit_reader import ArrayFrames
from diffusion.config import load_diffusion_config
from inference.pitch.files import read_f0
from inference.pitch.midi import read_midi
from inference.source import SourceAudio
from inference.speaker_mix.file import read_mix_file
from modules.checkpoint import find_state_dict, read_checkpoint, read_weights
from modules.common.errors import CheckpointError, GlowSVCError
from modules.config import load_config
from modules.dataset.features import feature_path, load_f0, save_feature
from modules.dsp.audio import read_audio
from modules.onnx.manifest import manifest_path, read_manifest
from modules.onnx.session import open_session
from tests.cluster.data import draw, flat, ivf, write_published_index
from tests.inference.pitch.sample_files import melodies, pitches, presets, read_preset_at
from tests.support import fuzzing
from tests.support.fuzzing import ROOM, in_children
from tests.vencoder.graphs import encoder_graph

ROOT = Path(__file__).parents[2]
LONGEST_MESSAGE = 700  # letters
LONGEST = 10  # s
_RATE = 16000
Mutation = Callable[[random.Random, Path, Path], None]  # draws, an original, where to write


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    write: Callable[[Path], Sequence[Path]]  # whole files in a folder
    read: Callable[[Path], object]
    mutations: Sequence[Mutation]


def _read_model(path: Path) -> None:
    with suppress(CheckpointError):
        read_checkpoint(path)
    find_state_dict(read_weights(path, keep=fuzzing.KEYS), path, *fuzzing.KEYS)


def _sounds(folder: Path) -> list[Path]:
    audio = np.random.default_rng(0).normal(0, 0.1, (3000, 2))
    paths = [folder / f"a.{suffix}" for suffix in ("wav", "flac", "mp3", "ogg", "aiff", "w64", "caf", "au")]
    for path in paths:
        soundfile.write(path, audio, _RATE)
    soundfile.write(folder / "gsm.wav", audio[:, 0], 8000, "GSM610")
    return [*paths, folder / "gsm.wav"]


def _read_sound(path: Path) -> None:
    read_audio(path, 44100)
    with SourceAudio(path, 44100, path.parent):
        pass


def _indexes(folder: Path) -> list[Path]:
    build_index(
        folder / "own.pkl", {"a": ArrayFrames(draw(60)), "b": ArrayFrames(draw(9))}, {"a": 0, "b": 1}, "mfcc"
    )
    faiss.omp_set_num_threads(1)
    published = {0: ivf(draw(80), 4), 3: flat(draw(7))}
    for protocol in (2, 4, 5):
        write_published_index(folder / f"published{protocol}.pkl", published, protocol)
    return sorted(folder.glob("*.pkl"))


def _read_index(path: Path) -> None:
    index = open_index(path)
    for speaker in sorted(index.ids)[:5]:
        index.load(speaker).nearest(draw(2, index.ssl_dim), 3)


def _centres(folder: Path) -> list[Path]:
    write_centres(folder / "k.pt", {"a": draw(9), "b": draw(4)}, "mfcc")
    torch.save({"a": {"n_features_in_": 12, "cluster_centers_": draw(9)}}, folder / "published.pt")
    return [folder / "k.pt", folder / "published.pt"]


def _graphs(folder: Path) -> list[Path]:
    for name, options in {"a": {}, "b": {"transposed": True}, "c": {"dtype": "float16"}}.items():
        onnx.save(encoder_graph(**options), folder / f"{name}.onnx")
    return sorted(folder.glob("*.onnx"))


def _features(folder: Path) -> list[Path]:
    save_feature(folder / "a.wav", "f0", torch.rand(2, 200))
    return [feature_path(folder / "a.wav", "f0")]


def _read_feature(path: Path) -> None:
    wav = path.with_name(f"{path.name}.wav")
    path.replace(feature_path(wav, "f0"))
    load_f0(wav)


def _configs(folder: Path) -> list[Path]:
    paths = [folder / source.name for source in sorted((ROOT / "configs_template").glob("*.json"))]
    for path in paths:
        values = json.loads((ROOT / "configs_template" / path.name).read_text(encoding="utf-8"))
        path.write_text(json.dumps({**values, "spk": {"a": 0, "b": 1}, "f0_range": {"a": [90, 200, 400.5]}}))
    return paths


def _tables(folder: Path) -> list[Path]:
    paths = [folder / source.name for source in sorted((ROOT / "configs_template").glob("*.yaml"))]
    for path in paths:
        text = (ROOT / "configs_template" / path.name).read_text(encoding="utf-8")
        path.write_text(f"{text}\nx: &x {{a: 1}}\ny: [*x, *x]\n")
    return paths


def _mixes(folder: Path) -> list[Path]:
    tracks = {"0": [[0.0, 0.5, 1.0, 0.0], [0.5, 1.0, 0.0, 1.0]], "b": [[0, 1, 1, 1]]}
    (folder / "mix.py").write_text(f"# a mix\nspk_mix_map = {tracks}\n")
    (folder / "mix.json").write_text(json.dumps(tracks))
    return [folder / "mix.py", folder / "mix.json"]


def _manifests(folder: Path) -> list[Path]:
    data = {"n_fft": 2048, "win_length": 2048, "n_mels": 128, "f_min": 40, "f_max": 16000}
    values = {
        "version": 1,
        "rate": 44100,
        "hop": 512,
        "encoder": "mfcc",
        "units": 12,
        "speakers": {"a": 0},
        "n_speakers": 1,
        "volume": False,
        "vocoder": "world",
        "fused": False,
        "melody": False,
        "reach": 9,
        "data": {**data, "unit_interpolate_mode": "nearest"},
        "f0_range": {"a": [90, 200, 400]},
        "diffusion": {
            "type": "Diffusion",
            "timesteps": 1000,
            "max_steps": 100,
            "n_speakers": 1,
            "speakers": {"a": 0},
            "mel_min": -12,
            "mel_max": 2,
            "method": "",
            "speedup": 10,
            "betas": [],
        },
    }
    (folder / "voice.json").write_text(json.dumps(values))
    return [folder / "voice.json"]


def _read_manifest(path: Path) -> None:
    folder = path.with_name(f"{path.name}s")
    path.replace(manifest_path(folder))
    read_manifest(folder)


_NUMBERS = (0, 1, -1, 10**6, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1)


def _other_number(source: random.Random, original: Path, path: Path) -> None:
    """Put numbers that lengths and counts may claim somewhere, mostly near the beginning."""
    data = bytearray(original.read_bytes())
    for _ in range(source.choice((1, 1, 2, 4))):
        width = source.choice((1, 2, 4, 8))
        number = source.choice(
            (0, 1, -1, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 10**6, source.getrandbits(64))
        )
        value = (number % 256**width).to_bytes(width, source.choice(("little", "big")))
        place = source.randrange(source.choice((min(64, len(data)), min(600, len(data)), len(data))))
        data[place : place + width] = value
    path.write_bytes(data)


_WORDS = (
    *("null", "true", "NaN", "-Infinity", "1e999", "-1", "0", "1", "0.5", str(10**9), str(2**63), "9" * 5000),
    *(
        '""',
        '"a"',
        '"\\ud800"',
        '"\\u0000"',
        '"' + "x" * 5000 + '"',
        "[]",
        "{}",
        "[" * 60 + "]" * 60,
        "[" * 3000,
    ),
    *(
        "*x",
        "&x [*x]",
        "!!int ''",
        "!!bool x",
        "!!python/name:os.system",
        "<<: *x",
        "f'{1}'",
        "__import__('os')",
    ),
    *("[1, 2, 3]", '{"a": null}', "'''", "#", "\n", "\x00", "\x85"),
)


def _other_word(source: random.Random, original: Path, path: Path) -> None:
    """Put other words in the place of some."""
    text = original.read_text(encoding="utf-8")
    for _ in range(source.choice((1, 1, 2, 5))):
        spans = [found.span() for found in re.finditer(r'"[^"\n]*"|[-\w.]+|[\[{][^\[\]{}]*[\]}]', text)]
        begin, end = source.choice(spans or [(0, len(text))])
        text = text[:begin] + source.choice(_WORDS) + text[end:]
    path.write_text(text, encoding="utf-8")


_SIMPLE = [
    fuzzing.MUTATIONS[name] for name in ("a part", "flipped bits", "flipped bits at the ends", "moved pieces")
]
_OF_BYTES = [*_SIMPLE, *3 * [_other_number]]
_OF_TEXT = [*_SIMPLE, *4 * [_other_word]]

KINDS = {
    "model": Kind(fuzzing.originals, _read_model, [*fuzzing.MUTATIONS.values()]),
    "sound": Kind(_sounds, _read_sound, _OF_BYTES),
    "index": Kind(_indexes, _read_index, _OF_BYTES),
    "clusters": Kind(_centres, read_centres, _OF_BYTES),
    "graph": Kind(_graphs, open_session, _OF_BYTES),
    "feature": Kind(_features, _read_feature, _OF_BYTES),
    "config": Kind(_configs, load_config, _OF_TEXT),
    "diffusion": Kind(_tables, load_diffusion_config, _OF_TEXT),
    "manifest": Kind(_manifests, _read_manifest, _OF_TEXT),
    "mix": Kind(_mixes, read_mix_file, _OF_TEXT),
    "preset": Kind(presets, read_preset_at, _OF_TEXT),
    "pitch": Kind(pitches, lambda path: read_f0(path, 300, 86.1), _OF_TEXT),
}
if find_spec("mido"):  # of requirements-onnx.txt since --midi
    KINDS["melody"] = Kind(melodies, read_midi, _OF_BYTES)
# seeds whose files were once read wrongly
FOUND: dict[str, tuple[int, ...]] = {"diffusion": (87, 118, 167, 249, 279)}


def write(kind: str, seed: int, originals: Sequence[Path], path: Path) -> Path:
    """Write the file ``seed`` of a kind."""
    source = random.Random(f"{kind} {seed}")
    original = source.choice(originals)
    source.choice(KINDS[kind].mutations)(source, original, path)
    return path


def check(kind: str, seeds: Sequence[int], folder: Path) -> Iterator[tuple[int, str]]:
    """Read the files ``seeds`` of a kind; yields (seed, what is wrong), "" if nothing."""
    read = KINDS[kind].read
    originals = KINDS[kind].write(folder)

    def refusals(path: Path) -> list[str]:
        try:
            read(path)
        except GlowSVCError as error:
            return [str(error)]
        return []

    warm = folder / "warm"
    for original in originals:  # the idle loader has all that it imports
        warm.write_bytes(original.read_bytes())
        if message := refusals(warm):
            yield -1, f"the whole {original.name} is refused: {message[0]}"
    paths = [write(kind, seed, originals, folder / f"{seed}.bin") for seed in seeds]
    sizes = [path.stat().st_size for path in paths]
    for seed, size, result in zip(seeds, sizes, in_children(refusals, paths), strict=True):
        yield seed, _wrong(size, f"{folder}", result)


def _wrong(size: int, folder: str, result: dict[str, Any]) -> str:
    if result["ended"] != "well":
        return f"it ended {result['ended']}"
    if result["seconds"] > LONGEST:
        return f"it took {result['seconds']:.0f} s"
    if sys.platform == "linux" and result["grown"] > 2 * size + ROOM:
        return f"it took {result['grown'] >> 20} MB for {size} bytes"
    for message in result["refused"]:
        if folder not in message or not message.isprintable() or len(message) > LONGEST_MESSAGE:
            return f"its message is not one short line that names the file: {message!r:.300}"
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the seeds that are read wrongly; 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--first", type=int, default=0, help="first seed (0)")
    parser.add_argument("--number", type=int, default=500, help="seeds of each kind (500)")
    args = parser.parse_args(argv)
    n_wrong = 0
    for kind in args.kinds:
        seeds = sorted({*range(args.first, args.first + args.number), *FOUND.get(kind, ())})
        with tempfile.TemporaryDirectory() as folder:
            wrong = [(seed, reason) for seed, reason in check(kind, seeds, Path(folder)) if reason]
        print(
            f"{kind}: {len(seeds)} files, seeds {seeds[0]} to {seeds[-1]}, {len(wrong)} read wrongly",
            flush=True,
        )
        for seed, reason in wrong:
            print(f"  {kind}, seed {seed}: {reason}", flush=True)
        n_wrong += len(wrong)
    return int(n_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
