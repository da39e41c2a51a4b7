"""Print what a cover costs: time of each stage, and memory.

    python -m benchmarks.covers.cost -m <model> --minutes 4

Memory is the highest of this process, with the networks and libraries.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import soundfile

from benchmarks.covers.songs import RATE, known_songs
from benchmarks.measure import peak_memory
from inference.converter import Converter
from inference.cover.cache import StageCache
from inference.cover.options import CoverOptions
from inference.cover.pipeline import CoverMaker
from inference.cover.voice import CoverVoice
from inference.options import ConvertOptions


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    song = next(known_songs(20.0, 0.0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.flac"
        times = max(1, round(args.minutes * 3))
        with soundfile.SoundFile(path, "w", RATE, 2) as file:
            for _ in range(times):
                file.write(song.mix)
        options = ConvertOptions(model_path=args.model, loudness_envelope_adjustment=0.0, device="cpu")
        voice = CoverVoice(options, Converter)
        maker = CoverMaker(voice, CoverOptions(), StageCache(Path(folder) / "cache"))
        before, began = peak_memory(), time.perf_counter()
        cover = maker.make(path, Path(folder), next(iter(voice.config.spk)))
        total = time.perf_counter() - began
        maker.make(path, Path(folder), next(iter(voice.config.spk)), 12.0)
    again = sum(maker.times.values())
    print(f"| stage | s, of {cover.seconds / 60:.1f} min |\n|---|---|")
    for name, seconds in cover.stages.items():
        print(f"| {name} | {seconds:.1f} |")
    print(f"| all | {total:.1f} (real-time factor {total / cover.seconds:.2f}) |")
    print(f"| another key | {again:.1f} |")
    print(f"\nmemory: {peak_memory() / 1e9:.2f} GB at most, {before / 1e9:.2f} GB before the first stage")


if __name__ == "__main__":
    main()
