"""Step 7: a base model, which has learnt from many voices how units become sound.

A few minutes of one voice, learnt from nothing, give a voice that mumbles. The
small model of --tiny is therefore trained here, with the same scripts that a user
runs, on all voices in WORK/speech that sound like people; training a voice then
starts from it (train.py --base starter). Everything happens in WORK/base; run it
again to continue.

The prompts are of 16 kHz, but a voice may be of more. What lies above is made up,
up to 11 or 15 kHz, from the octave below: a filled band is what the model must
expect, not what is in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point
from tools.starter.generate import RATE

ROOT = Path(__file__).resolve().parents[2]
UNLIKE_PEOPLE = ("espeak-", "flite-")
CLIP = 10.0  # seconds, of which prompts are joined
EDGE, BAND = 7600, 3800  # Hz; where the prompts end, and the width of what is copied
WIDE_RATE = 44100
MANY = 1_000_000  # steps


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m tools.starter.base",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("work", type=Path, help="folder for everything that is made")
    parser.add_argument("--seconds", type=float, default=600, help="of each voice, at most (%(default)s)")
    parser.add_argument("--minutes", type=float, default=45, help="of training (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--output", type=Path, help="file (default: the one that train.py --base starter reads)"
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train and write; return the exit code."""
    args = get_parser().parse_args(argv)
    from tqdm import tqdm

    from model_tools.compress import compress_model
    from modules.common.files import write_json
    from training.base_model import STARTER

    work = args.work.resolve() / "base"
    raw = work / "dataset_raw"
    folders = voices(args.work / "speech")
    for number, folder in enumerate(tqdm(folders, desc="voices", unit="voice")):
        if not (raw / folder.name).is_dir():
            _write_voice(folder, raw / folder.name, args.seconds, np.random.default_rng(args.seed + number))

    options = ["--speech_encoder", "ppg-starter", "--vocoder", "world", "--tiny"]
    _run(work, "resample.py")
    _run(work, "preprocess_flist_config.py", *options)
    config = work / "configs" / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["train"]["max_steps"] = MANY  # the minutes are the end
    write_json(config, values)
    _run(work, "preprocess_hubert_f0.py", "--f0_predictor", "pm", "--num_processes", "0")
    _run(work, "train.py", "--max_minutes", str(args.minutes))
    models = (work / "logs" / "44k").glob("G_[0-9]*.pth")
    output = args.output or STARTER
    done = compress_model(max(models, key=lambda path: int(path.stem[2:])), output, half=True)
    print(f"{output}: {done.after / 1e6:.1f} MB")
    return 0


def voices(folder: Path) -> list[Path]:
    """Return the folders of the voices to learn from, in order.

    Raises:
        ConfigError: There are none.
    """
    from modules.common.errors import ConfigError
    from tools.starter.train import HELD

    found = [path for path in sorted(folder.glob("*")) if path.is_dir() and path.name not in HELD]
    found = [path for path in found if not path.name.startswith(UNLIKE_PEOPLE)]
    if not found:
        raise ConfigError(f"{folder} has no voice; run the steps align and kokoro first")
    return found


def joined(clips: Iterable[np.ndarray], most: float) -> Iterator[np.ndarray]:
    """Yield clips (T,) at 16 kHz one after another in pieces of at least CLIP seconds, ``most`` in all."""
    piece: list[np.ndarray] = []
    done = 0
    for clip in clips:
        if done + sum(map(len, piece)) >= most * RATE:
            break
        piece.append(clip)
        if sum(map(len, piece)) >= CLIP * RATE:
            yield np.concatenate(piece)
            done += sum(map(len, piece))
            piece = []
    if piece:
        yield np.concatenate(piece)


def widened(audio: np.ndarray, gains: Sequence[float]) -> np.ndarray:
    """Return audio (T,) at 16 kHz as (T',) at 44.1 kHz, with a copy of its highest octave above it.

    Args:
        audio: (T,).
        gains: dB, of each copy against the octave; each lies BAND higher than the one before.
    """
    import soxr
    from scipy.signal import butter, hilbert, sosfiltfilt

    wide = soxr.resample(audio, RATE, WIDE_RATE)
    octave = butter(8, (EDGE - BAND, EDGE), "bandpass", fs=WIDE_RATE, output="sos")
    highest = hilbert(sosfiltfilt(octave, wide))
    time = np.arange(len(wide)) / WIDE_RATE
    for number, gain in enumerate(gains, start=1):
        wide = wide + 10 ** (gain / 20) * np.real(highest * np.exp(2j * np.pi * BAND * number * time))
    return wide.astype(np.float32)


def _write_voice(source: Path, target: Path, most: float, rng: np.random.Generator) -> None:
    import os
    import tempfile

    import soundfile

    first = rng.uniform(-12, -3)  # dB
    gains = [first, first + rng.uniform(-12, -3)][: rng.integers(1, 3)]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parents[1]) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        paths = sorted(source.glob("*.wav"))
        rng.shuffle(paths)  # type: ignore[arg-type]
        clips = (soundfile.read(path, dtype="float32")[0] for path in paths)
        for number, clip in enumerate(joined(clips, most)):
            soundfile.write(folder / f"{number:03d}.wav", widened(clip, gains), WIDE_RATE, "PCM_16")
        os.replace(folder, target)


def _run(folder: Path, script: str, *arguments: str) -> None:
    """Run one of the scripts in ``folder``; raises CalledProcessError if it fails."""
    subprocess.run([sys.executable, str(ROOT / script), *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(main())
