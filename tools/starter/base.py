"""Step 8: a base model, trained on many voices.

Training on a few minutes of one voice from scratch gives unclear speech. The small
model of --tiny is therefore trained here, with the same scripts as a user's, on all
natural voices in WORK/speech; training a voice then starts from it (train.py --base
starter). Everything is in WORK/base; run it again to continue.

The prompts have 16 kHz, but voices of users have more. The band above is synthesised,
up to 11 or 15 kHz, from the octave below: the model must expect a filled band, whatever
its content.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from modules.common.children import child_environment
from modules.common.cli import entry_point, make_parser
from modules.common.progress import progress_bar
from modules.dsp.audio import read_audio
from tools.starter.speech.files import finished_folder

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("espeak-", "flite-", "held-")  # artificial voices, and those that nothing may train on
RATE = 16000
CLIP = 10.0  # s, of joined prompts
EDGE, BAND = 7600, 3800  # Hz; upper end of the prompts, and width of the copied band
WIDE_RATE = 44100
MAX_STEPS = 1_000_000


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train and write; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.base")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--seconds", type=float, default=600, help="of each voice, at most (%(default)s)")
    parser.add_argument("--minutes", type=float, default=45, help="of training (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="file (default: what train.py --base starter reads)")
    args = parser.parse_args(argv)
    from model_tools.compress import compress_model
    from modules.common.files import write_json
    from training.base_model import STARTER

    work = args.work.resolve() / "base"
    raw = work / "dataset_raw"
    folders = voices(args.work / "speech")
    for number, folder in enumerate(progress_bar(folders, desc="voices", unit="voice")):
        if not (raw / folder.name).is_dir():
            _write_voice(folder, raw / folder.name, args.seconds, np.random.default_rng(args.seed + number))

    options = ["--speech_encoder", "ppg-starter", "--vocoder", "world", "--tiny"]
    _run(work, "resample.py")
    _run(work, "preprocess_flist_config.py", *options)
    config = work / "configs" / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["train"]["max_steps"] = MAX_STEPS  # --minutes ends it
    write_json(config, values)
    _run(work, "preprocess_hubert_f0.py", "--f0_predictor", "pm", "--num_processes", "0")
    _run(work, "train.py", "--max_minutes", str(args.minutes))
    models = (work / "logs" / "44k").glob("G_[0-9]*.pth")
    output = args.output or STARTER
    done = compress_model(max(models, key=lambda path: int(path.stem[2:])), output, half=True)
    print(f"{output}: {done.after / 1e6:.1f} MB")
    return 0


def voices(folder: Path) -> list[Path]:
    """Folders of the training voices, sorted; raises ConfigError if there are none."""
    from modules.common.errors import ConfigError

    found = [path for path in sorted(folder.glob("*")) if path.is_dir()]
    found = [path for path in found if not path.name.startswith(LEFT_OUT)]
    if not found:
        raise ConfigError(f"{folder} has no voice; run the steps recordings and kokoro first")
    return found


def joined(clips: Iterable[np.ndarray], most: float) -> Iterator[np.ndarray]:
    """Join clips (T,) at 16 kHz to pieces of at least CLIP seconds, up to ``most`` seconds in all."""
    piece = np.zeros(0, np.float32)
    total = 0
    for clip in clips:
        if total >= most * RATE:
            break
        piece = np.append(piece, clip)
        total += len(clip)
        if len(piece) >= CLIP * RATE:
            yield piece
            piece = piece[:0]
    if len(piece):
        yield piece


def extend_bandwidth(audio: np.ndarray, gains: Sequence[float]) -> np.ndarray:
    """Resample audio (T,) at 16 kHz to (T',) at 44.1 kHz, with copies of its highest octave above it.

    Each copy is BAND higher than the one before; ``gains`` are relative to the octave, dB.
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
    import soundfile

    first = rng.uniform(-12, -3)  # dB
    gains = [first, first + rng.uniform(-12, -3)][: rng.integers(1, 3)]
    with finished_folder(target) as folder:
        folder.mkdir()
        paths = sorted(source.glob("*.wav"))
        rng.shuffle(paths)  # type: ignore[arg-type]
        clips = (read_audio(path, RATE)[0] for path in paths)
        for number, clip in enumerate(joined(clips, most)):
            soundfile.write(folder / f"{number:03d}.wav", extend_bandwidth(clip, gains), WIDE_RATE, "PCM_16")


def _run(folder: Path, script: str, *arguments: str) -> None:
    """Run one of the scripts in ``folder``; raises CalledProcessError if it fails."""
    command = [sys.executable, str(ROOT / script), *arguments]
    subprocess.run(command, cwd=folder, env=child_environment(), check=True)


if __name__ == "__main__":
    sys.exit(main())
