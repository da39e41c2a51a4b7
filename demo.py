"""From a folder of recordings to a converted song: all numbered steps, one command.

The song is converted twice: at once, without training, where the base model takes a voice
from recordings; and with a model that is trained on them, which comes closer to the voice.
Without arguments it makes its own recordings with a synthetic voice. Everything
is in demo/<dataset>, made by the same commands that you would type.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.children import child_environment, wait_for
from modules.common.cli import entry_point, make_parser
from modules.common.errors import AudioError, CheckpointError, ConfigError, GlowSVCError
from modules.common.files import replacing, write_text
from modules.common.text import normalize_name
from modules.pretrained.starter import STARTER_ENCODER

if TYPE_CHECKING:
    import numpy as np

    from modules.config import Config

ROOT = Path(__file__).resolve().parent
RATE = 44100  # Hz
TARGET, SOURCE = "sofia", "tomas"  # the synthetic target voice, and the source singer
DATASET_SECONDS, SONG_SECONDS = 150.0, 20.0
MAX_MEASURED_SECONDS = 120
PROTECT = 0.33  # a third of the song's own consonants: docs/quality.md
InstantResult = tuple[Path, int]  # the song in a voice that was not trained, and its key in semitones
ORIGIN = "origin.txt"  # in the workspace: what it was made of

EPILOG = """\
examples:
  make demo
  make demo DATASET=recordings/anna SONG=song.wav
  make demo DATASET=recordings SONG=song.wav SPEAKER=anna KEY=-3

DATASET is a folder of audio (one speaker, named after it) or a folder of such folders.
Run it again to continue where it stopped; delete demo/<dataset> to start over.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add("--dataset", type=Path, help="recordings of the target voice(s); default: synthetic")
    add("--song", type=Path, help="the song to convert; default: synthetic")
    add("--key", type=int, help="semitones; default: the one that brings the song into the voice's range")
    add("--speaker", help="target speaker; default: the first one")
    add(
        "--minutes", type=float, default=6.5, help="longest training time (%(default)s); longer sounds better"
    )
    add("--workspace", type=Path, default=ROOT / "demo", help="folder for everything it makes (demo)")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    args = get_parser().parse_args(argv)
    from modules.common.progress import stage
    from modules.dsp.audio import open_audio

    began = time.monotonic()

    # mistakes are reported now, not after the training
    dataset = args.dataset.resolve() if args.dataset else None
    one_speaker = dataset is not None and _is_one_speaker(dataset)
    if args.song:
        open_audio(args.song).close()
    workspace = args.workspace.resolve() / (dataset.name if dataset else "synthetic")
    _claim(workspace, dataset)
    if dataset is None:
        in_dir = _synthesize_dataset(workspace)
    else:
        in_dir = _linked(dataset, workspace) if one_speaker else dataset
    with stage("reading the song"):
        song = DemoSong.read(args.song.resolve() if args.song else _synthesize_song(workspace), workspace)

    code, instant = _convert_at_once(song, in_dir, args, workspace)
    if instant:
        print(f"a first result, without training, after {time.monotonic() - began:.0f} s: {instant[0]}")
    code = (
        code
        or _run(["resample.py", "--in_dir", str(in_dir), "--slice"], workspace)
        or _run(
            ["preprocess_flist_config.py", "--speech_encoder", _encoder(), "--vocoder", "world", "--tiny"],
            workspace,
        )
    )
    if code:
        return code

    from modules.config import load_config

    config = load_config(workspace / "configs/config.json")
    speaker = config.speaker_name(args.speaker) if args.speaker else sorted(config.spk)[0]
    code = _run(["preprocess_hubert_f0.py", "--num_processes", "0"], workspace) or _run(
        ["train.py", "--max_minutes", str(args.minutes), "--base", "auto"], workspace
    )
    if code:
        return code

    config = load_config(workspace / "logs/44k/config.json")
    key = _suggested_key(song, config, speaker) if args.key is None else args.key
    code = _run(
        ["inference_main.py", "-m", str(_newest_model(workspace)), "-n", str(song.path)]
        + ["-t", str(key), "-s", speaker, "-wf", "wav", "--protect", str(PROTECT)],
        workspace,
    )
    if not code:
        with stage("measuring the result"):
            report = _report(song, key, speaker, workspace, instant)
        print(f"{report}; whole run {(time.monotonic() - began) / 60:.1f} min")
    return code


def _encoder() -> str:
    """The starter encoder if its weights can be used, else mfcc, after printing why."""
    from vencoder import ENCODERS

    try:
        ENCODERS.build(STARTER_ENCODER, "cpu")
    except GlowSVCError as error:
        print(f"speech encoder: mfcc, which needs no weights, instead of {STARTER_ENCODER}: {error}")
        return "mfcc"
    return STARTER_ENCODER


@dataclass(frozen=True, eq=False)
class DemoSong:
    """A song, and the melody of its first two minutes."""

    path: Path
    n_samples: int  # of the whole song, at 44 100 Hz
    audio: np.ndarray  # (T,), its beginning
    f0: np.ndarray  # (N,), Hz, gaps filled
    uv: np.ndarray  # (N,), 1 where voiced

    @classmethod
    def read(cls, path: Path, scratch: Path) -> DemoSong:
        """Read a song; raises AudioError if that is impossible."""
        from inference.source import SourceAudio
        from modules.f0_predictor import DEFAULT_PREDICTOR, F0_PREDICTORS

        with SourceAudio(path, RATE, scratch) as source:
            audio = source.read(0, min(source.n_samples, MAX_MEASURED_SECONDS * RATE))
            n_samples = source.n_samples
        f0, uv = F0_PREDICTORS.build(DEFAULT_PREDICTOR, sampling_rate=RATE).predict(audio)
        return cls(path, n_samples, audio, f0, uv)


def _is_one_speaker(dataset: Path) -> bool:
    """Whether a folder holds recordings itself, and not only in its folders."""
    from modules.dsp.audio import find_audio

    if not dataset.is_dir():
        raise AudioError(f"{dataset} is not a folder; give a folder of recordings")
    if find_audio(dataset):
        return True
    if not any(find_audio(folder) for folder in dataset.iterdir() if folder.is_dir()):
        raise AudioError(f"{dataset} holds no audio, and neither do the folders in it")
    return False


def _claim(workspace: Path, dataset: Path | None) -> None:
    """Make the workspace; refuse one that holds the work on another data set of the same name."""
    note, link = workspace / ORIGIN, _link(workspace)
    origin = str(dataset) if dataset else "the synthetic singer"
    before = origin
    if note.is_file():
        before = note.read_text(encoding="utf-8")
    elif link.is_symlink():
        before = os.readlink(link)
    if before != origin:
        raise ConfigError(
            f"{workspace} was made of {before}, not of {origin}; delete it, or rename one of the folders"
        )
    write_text(note, origin)


def _link(workspace: Path) -> Path:
    return workspace / "dataset_raw" / workspace.name


def _linked(dataset: Path, workspace: Path) -> Path:
    """Folder in which the data set, of one speaker, is the folder of that speaker."""
    speaker = _link(workspace)
    speaker.parent.mkdir(exist_ok=True)
    if not speaker.is_symlink():
        try:
            os.symlink(dataset, speaker, target_is_directory=True)
        except OSError:  # no permission for links, a file system without them, or copied before
            shutil.copytree(dataset, speaker, dirs_exist_ok=True)
    return speaker.parent


def _synthesize_dataset(workspace: Path) -> Path:
    from modules.common.progress import progress_bar
    from synthetic_voice import write_dataset

    folder = workspace / "dataset_raw"
    if not (folder / ".complete").exists():
        clips = write_dataset(folder, [TARGET], DATASET_SECONDS, seed=1)
        for _ in progress_bar(clips, desc="synthesizing the data set", unit="clip"):
            pass
        (folder / ".complete").touch()
    return folder


def _synthesize_song(workspace: Path) -> Path:
    from modules.dsp.audio import write_audio
    from synthetic_voice import SINGERS, compose, sing

    path = workspace / "raw" / "song.wav"
    if not path.exists():
        singer = SINGERS[SOURCE]
        audio = sing(compose(singer, SONG_SECONDS, 7), singer, seed=7).audio
        write_audio(path, audio, RATE, "PCM_24")
    return path


def _run(command: list[str], workspace: Path) -> int:
    """Run one step; return its exit code. Ctrl-C, or a request to end, waits until it has saved its work."""
    shown = " ".join(f'"{part}"' if " " in part else part for part in command)
    print(f"\n$ python {shown}", flush=True)
    program = [sys.executable, str(ROOT / command[0]), *command[1:]]
    step = subprocess.Popen(program, cwd=workspace, env=child_environment(), start_new_session=True)
    return wait_for([step])


def _convert_at_once(
    song: DemoSong, in_dir: Path, args: argparse.Namespace, workspace: Path
) -> tuple[int, InstantResult | None]:
    """Exit code and result of the instant voice; None if there is none, with the reason in a line."""
    from model_tools.instant import make_instant_voice
    from modules.common.progress import stage
    from modules.config import load_config
    from modules.dataset.layout import scan_folder

    voices = scan_folder(in_dir).clips
    speaker = normalize_name(args.speaker) if args.speaker else min(voices)
    if speaker not in voices:  # step 2 names those that there are
        return 0, None
    try:
        with stage("listening to the voice"):
            model = make_instant_voice(voices[speaker][0].parent, workspace / "logs" / "instant")
    except GlowSVCError as error:
        print(f"no result before training: {error}")
        return 0, None
    config = load_config(model.with_name("config.json"))
    (name,) = config.spk
    key = _suggested_key(song, config, name) if args.key is None else args.key
    code = _run(
        ["inference_main.py", "-m", str(model), "-n", str(song.path)]
        + ["-t", str(key), "-wf", "wav", "--protect", str(PROTECT)],
        workspace,
    )
    if code:
        return code, None
    made = _result_path(song, key, name, workspace)
    kept = made.with_stem(f"{made.stem}_instant")  # the trained voice has the same name
    os.replace(made, kept)
    return 0, (kept, key)


def _suggested_key(song: DemoSong, config: Config, speaker: str) -> int:
    from inference.key import suggest_key

    trained = config.f0_range.get(speaker)
    if trained is None:
        print(f"key: 0, since no recording of {speaker} holds a sung note (KEY=<n> chooses another)")
        return 0
    key = suggest_key(song.f0 * song.uv, trained)
    print(f"key: {key:+d} semitones brings the song into the range of {speaker} (KEY=<n> chooses another)")
    return key


def _result_path(song: DemoSong, key: int, speaker: str, workspace: Path) -> Path:
    """Where inference_main.py writes a result."""
    from inference.options import ConvertOptions
    from inference.output import result_name

    options = ConvertOptions(wav_format="wav", protect=PROTECT)
    return workspace / "results" / result_name(song.path.stem, key, speaker, options)


def _newest_model(workspace: Path) -> Path:
    """The newest readable model, as training chooses it when it continues."""
    from training.progress import CheckpointFolder

    found = CheckpointFolder(workspace / "logs/44k").newest()
    if found is None:
        raise CheckpointError(f"there is no model in {workspace / 'logs/44k'}; train for longer: --minutes")
    return found[0]


def _report(
    song: DemoSong, key: int, speaker: str, workspace: Path, instant: InstantResult | None = None
) -> str:
    """Draw the picture; text of where everything is and how well the melody was kept."""
    from evaluation.conversions import SourceSong
    from evaluation.evaluators.pitch import pitch_score
    from evaluation.picture import draw_comparison
    from modules.dsp.f0 import transpose

    path = _result_path(song, key, speaker, workspace)
    result = DemoSong.read(path, workspace)
    score = pitch_score(SourceSong(path.name, song.audio, RATE, song.f0, song.uv, key), result.audio)
    difference = result.n_samples - song.n_samples
    picture = result.path.with_suffix(".png")
    sung = song.f0 * (song.uv > 0)
    panels = {f"{song.path.name} (source)": (song.audio, sung)}
    first = first_score = ""
    if instant:
        at_once = DemoSong.read(instant[0], workspace).audio
        panels[f"in the voice of {speaker}, at once"] = (at_once, transpose(sung, instant[1]))
        source = SourceSong(path.name, song.audio, RATE, song.f0, song.uv, instant[1])
        first = f"\nat once  {instant[0]}"
        first_score = f", at once {pitch_score(source, at_once).value:.3f}"
    after = ", after training" if instant else ""
    panels[f"in the voice of {speaker}{after}"] = (result.audio, transpose(sung, key))
    with replacing(picture) as temporary:
        temporary.write_bytes(draw_comparison(panels, RATE))
    return (
        f"{first}\nresult   {result.path}\npicture  {picture}\n"
        f"F0 within 50 cents: {score.value:.3f}{first_score} "
        f"(WORLD resynthesis of the source: {score.reference:.3f}); "
        f"length: {song.n_samples} samples {f'{difference:+d}' if difference else 'as the source'}; "
        f"key {key:+d}"
    )


if __name__ == "__main__":
    sys.exit(main())
