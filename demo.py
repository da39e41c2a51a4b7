"""From a folder of recordings to a converted song: all numbered steps, one command.

Without arguments it makes its own recordings with a synthetic singer. Everything
happens in demo/<dataset>, with the same commands that you would type.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from modules.cli import entry_point

ROOT = Path(__file__).resolve().parent
F0_PREDICTOR = "pm"
RATE = 44100  # Hz
TARGET, GUEST = "sofia", "bruno"  # the synthetic voice that is learnt, and the one that sings the song
DATASET_SECONDS, SONG_SECONDS = 150.0, 20.0
MAX_JUDGED_SECONDS = 120

EPILOG = """\
examples:
  make demo
  make demo DATASET=recordings/anna SONG=song.wav
  make demo DATASET=recordings SONG=song.wav KEY=-3

DATASET is a folder of audio (one speaker, named after it) or a folder of such folders.
Run it again to continue where it stopped; delete demo/<dataset> to start over.
"""


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, help="recordings of the target voice(s); default: synthetic")
    parser.add_argument("--song", type=Path, help="the song to convert; default: synthetic")
    parser.add_argument(
        "--key", type=int, help="semitones; default: what brings the song into the voice's range"
    )
    parser.add_argument("--speaker", help="target speaker; default: the first one")
    parser.add_argument(
        "--minutes", type=float, default=6.5, help="longest training time (%(default)s); more sounds better"
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    args = get_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    began = time.monotonic()

    workspace = ROOT / "demo" / (args.dataset.resolve().name if args.dataset else "synthetic")
    workspace.mkdir(parents=True, exist_ok=True)
    in_dir = _arrange(args.dataset.resolve(), workspace) if args.dataset else _sing_dataset(workspace)
    song = args.song.resolve() if args.song else _sing_song(workspace)
    _check_song(song)

    steps = [
        ["resample.py", "--in_dir", str(in_dir)],
        ["preprocess_flist_config.py", "--speech_encoder", "mfcc", "--vocoder", "world", "--tiny"],
        ["preprocess_hubert_f0.py", "--f0_predictor", F0_PREDICTOR, "--num_processes", "0"],
        ["train.py", "--max_minutes", str(args.minutes)],
    ]
    for step in steps:
        code = _run(step, workspace)
        if code:
            return code

    from modules.config import load_config

    config = load_config(workspace / "logs/44k/config.json")
    speaker = config.speaker_name(args.speaker) if args.speaker else sorted(config.spk)[0]
    source, f0, uv = _analyse(song)
    key = args.key
    if key is None:
        from inference.key import suggest_key

        key = suggest_key(f0[uv > 0], config.f0_range[speaker])
        print(
            f"key: {key:+d} semitones brings the song into the range of {speaker} (KEY=<n> chooses another)"
        )
    model = _newest_model(workspace)
    code = _run(
        ["inference_main.py", "-m", str(model), "-n", str(song), "-t", str(key), "-s", speaker]
        + ["-f0p", F0_PREDICTOR, "-wf", "wav"],
        workspace,
    )
    if code:
        return code
    result = workspace / "results" / f"{song.stem}_{key}key_{speaker}_glow_{F0_PREDICTOR}.wav"
    _report(song, source, f0, uv, key, speaker, result, time.monotonic() - began)
    return 0


def _arrange(dataset: Path, workspace: Path) -> Path:
    """Return a folder that holds one folder per speaker."""
    from modules.audio import find_audio
    from modules.errors import AudioError

    if not dataset.is_dir():
        raise AudioError(f"{dataset} is no folder; give a folder of recordings")
    if not find_audio(dataset):
        if not any(find_audio(folder) for folder in dataset.iterdir() if folder.is_dir()):
            raise AudioError(f"{dataset} holds no audio, and neither do the folders in it")
        return dataset
    speaker = workspace / "dataset_raw" / dataset.name
    if not speaker.exists():
        speaker.parent.mkdir(exist_ok=True)
        try:
            os.symlink(dataset, speaker, target_is_directory=True)
        except OSError:  # no permission for links, or a file system without them
            shutil.copytree(dataset, speaker)
    return speaker.parent


def _sing_dataset(workspace: Path) -> Path:
    from tqdm import tqdm

    from singer import write_dataset

    folder = workspace / "dataset_raw"
    if not (folder / ".complete").exists():
        clips = write_dataset(folder, [TARGET], DATASET_SECONDS, seed=1)
        for _ in tqdm(clips, desc="singing the dataset", unit="clip"):
            pass
        (folder / ".complete").touch()
    return folder


def _sing_song(workspace: Path) -> Path:
    from modules.audio import write_audio
    from singer import SINGERS, compose, sing

    path = workspace / "raw" / "song.wav"
    if not path.exists():
        singer = SINGERS[GUEST]
        audio = sing(compose(singer, SONG_SECONDS, 7), singer, seed=7).audio
        write_audio(path, audio, RATE, "PCM_24")
    return path


def _check_song(song: Path) -> None:
    from modules.audio import open_audio

    open_audio(song).close()


def _run(command: list[str], workspace: Path) -> int:
    shown = " ".join(f'"{part}"' if " " in part else part for part in command)
    print(f"\n$ python {shown}", flush=True)
    return subprocess.run([sys.executable, str(ROOT / command[0]), *command[1:]], cwd=workspace).returncode


def _analyse(song: Path):  # noqa: ANN202 - three arrays
    """Return (audio (T,), f0 (N,), uv (N,)) of the part of the song that is judged."""
    from modules.audio import read_audio
    from modules.f0_predictor import F0_PREDICTORS

    audio, _ = read_audio(song, RATE)
    audio = audio[: MAX_JUDGED_SECONDS * RATE]
    return audio, *F0_PREDICTORS.build(F0_PREDICTOR, sampling_rate=RATE).predict(audio)


def _newest_model(workspace: Path) -> Path:
    from training.progress import CheckpointFolder

    folder = CheckpointFolder(workspace / "logs/44k")
    return folder.path(folder.steps()[-1])


def _report(song, source, f0, uv, key, speaker, result, seconds) -> None:  # noqa: ANN001
    import soundfile

    from evaluation.metrics import pitch_score
    from evaluation.picture import write_comparison
    from modules.audio import read_audio, resampled_length

    audio, _ = read_audio(result, RATE)
    score = pitch_score(source, audio[: len(source)], f0, uv, key, RATE)
    before = soundfile.info(song)
    expected = resampled_length(before.frames, before.samplerate, RATE)
    difference = soundfile.info(result).frames - expected
    picture = result.with_suffix(".png")
    shifted = f0 * (uv > 0) * 2.0 ** (key / 12)
    write_comparison(
        picture,
        {f"{song.name} (source)": (source, f0 * (uv > 0)), f"in the voice of {speaker}": (audio, shifted)},
        RATE,
    )
    print(
        f"\nresult   {result}\npicture  {picture}\n"
        f"F0 within 50 cents: {score.conversion:.3f} (WORLD resynthesis of the source: {score.ceiling:.3f}); "
        f"length: {expected} samples {'as the source' if not difference else f'{difference:+d}'}; "
        f"key {key:+d}; whole run {seconds / 60:.1f} min"
    )


if __name__ == "__main__":
    sys.exit(main())
