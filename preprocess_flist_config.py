"""Step 2: list the clips of a data set and write the configurations.

Reads dataset/44k/<speaker>/*.wav; writes filelists/train.txt, filelists/val.txt,
configs/config.json, and configs/diffusion.yaml for train_diff.py.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.cli import entry_point, make_parser
from modules.common.errors import AudioError
from modules.common.files import write_text
from modules.pretrained.starter import starter_sizes
from vdecoder import VOCODERS, published_file
from vencoder import ENCODERS

if TYPE_CHECKING:
    from vencoder import EncoderSpec

EPILOG = """\
examples:
  python preprocess_flist_config.py
  python preprocess_flist_config.py --speech_encoder mfcc --tiny     a small model, for a CPU

A configuration that differs from the new one is kept beside it as <name>.bak.
Next step:  python preprocess_hubert_f0.py
"""
TEMPLATES = Path(__file__).parent / "configs_template"
SEED = 1234  # which clips are for validation does not change from run to run
N_VALIDATION = 2  # clips per speaker, at most
LARGEST_SHARE = 0.1  # of a speaker's time
SHORTEST_SPLIT = 5.0  # s; of shorter clips a tenth is not enough to measure
SHORTEST = 0.3  # s
PLAIN_NAME = re.compile(r"[A-Za-z0-9._/-]+")

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add("--train_list", default="./filelists/train.txt", help="list of training clips (%(default)s)")
    add("--val_list", default="./filelists/val.txt", help="list of validation clips (%(default)s)")
    add("--source_dir", default="./dataset/44k", help="the data set, from step 1 (%(default)s)")
    add("--config_dir", default="./configs", help="where the configurations go (%(default)s)")
    add("--speech_encoder", default="vec768l12", help=f"{', '.join(ENCODERS)} (default: %(default)s)")
    add("--vocoder", default="nsf-hifigan", help=f"{', '.join(VOCODERS)} (default: %(default)s)")
    add(
        "--vol_aug",
        action="store_true",
        help="the result follows the loudness of the song, not that of the data set",
    )
    add(
        "--reflow",
        action="store_true",
        help="make the diffusion model a rectified flow: good with fewer evaluations",
    )
    add("--tiny", action="store_true", help="small models: faster, for little data or no GPU")
    return parser


def usable_clips(clips: Sequence[Path]) -> dict[Path, float]:
    """Length in s of each usable clip; a warning names each of the others."""
    from modules.common.progress import progress_bar
    from modules.dataset.layout import LONGEST_NAME
    from modules.dsp.audio import open_audio

    seconds = {}
    for clip in progress_bar(clips, desc="reading", unit="clip"):
        if len(clip.name.encode()) > LONGEST_NAME:  # its features could not be named after it
            logger.warning("skipped: %s has a name of more than %d bytes; rename it", clip, LONGEST_NAME)
            continue
        try:
            with open_audio(clip) as file:
                length = file.frames / file.samplerate
        except AudioError as error:
            logger.warning("skipped: %s", error)
            continue
        if length < SHORTEST:
            logger.warning("skipped: %s lasts %.2f s, shorter than %s s", clip, length, SHORTEST)
        else:
            seconds[clip] = length
    return seconds


def split(seconds: Mapping[Path, float], speaker: str) -> tuple[list[Path], list[Path]]:
    """Sorted (training, validation) clips of one speaker, whose lengths in s are given.

    Up to two clips are for validation, at most a tenth of the time. Where each is more than that, the two
    longest are in both lists: training splits them, see training/data/batches.py.
    """
    clips = sorted(seconds)
    random.Random(f"{SEED} {speaker}").shuffle(clips)
    room = LARGEST_SHARE * sum(seconds.values())
    held_out: list[Path] = []
    for clip in clips:
        if len(held_out) < N_VALIDATION and seconds[clip] <= room:
            held_out.append(clip)
            room -= seconds[clip]
    if held_out:
        return sorted(set(clips) - set(held_out)), sorted(held_out)
    shared = sorted(clips, key=lambda clip: -seconds[clip])[:N_VALIDATION]
    if seconds[shared[-1]] >= SHORTEST_SPLIT:
        what = "validation measures the first tenth of the longest ones, which is not trained on"
    else:
        what = "validation measures what is trained on, and says nothing about new songs"
    logger.warning(
        "speaker %s: %d clips, each more than a tenth of the time: %s; resample.py --slice makes more",
        speaker,
        len(clips),
        what,
    )
    return sorted(clips), sorted(shared)


def fill_templates(
    config: dict[str, Any],
    diffusion: dict[str, Any],
    spk: dict[str, int],
    args: argparse.Namespace,
    encoder: EncoderSpec,
    ckpt: str,
) -> None:
    """Enter the choices of this run into the templates of config.json and diffusion.yaml."""
    for template in (config, diffusion):
        template["data"] |= {
            "training_files": Path(args.train_list).as_posix(),
            "validation_files": Path(args.val_list).as_posix(),
        }
        template["spk"] = spk
    config["train"]["vol_aug"] = args.vol_aug
    config["model"] |= {
        "n_speakers": len(spk),
        "speech_encoder": args.speech_encoder,
        "vocoder_name": args.vocoder,
        "vol_embedding": args.vol_aug,
        "ssl_dim": encoder.ssl_dim,
    }
    if not args.tiny:
        # published: both follow the units, but 256 channels keep a filter of 768. Units of
        # fewer channels, which only this project has, are treated as if they had 256.
        config["model"] |= {
            "gin_channels": max(256, encoder.ssl_dim),
            "filter_channels": encoder.ssl_dim if encoder.ssl_dim > 256 else 768,
        }
    diffusion["data"] |= {"encoder": args.speech_encoder, "encoder_out_channels": encoder.ssl_dim}
    diffusion["model"]["n_spk"] = len(spk)
    if args.reflow:
        diffusion["model"]["type"] = "ReFlow"
        diffusion["infer"]["method"] = ""  # the default of the type
    diffusion["vocoder"] = {"type": args.vocoder, "ckpt": ckpt}


def write_config(path: Path, text: str) -> None:
    """Write a configuration; one that differs is kept as .bak, since users edit these files."""
    if path.is_file() and (before := path.read_bytes()) != text.encode():
        backup = path.with_name(path.name + ".bak")
        number = 1
        while backup.exists() and backup.read_bytes() != before:
            number += 1
            backup = path.with_name(f"{path.name}.{number}.bak")
        path.replace(backup)
        print(f"{path} was there before with other settings: kept as {backup}")
    write_text(path, text)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write lists and configurations; return the exit code."""
    args = get_parser().parse_args(argv)
    encoder, ckpt = ENCODERS[args.speech_encoder], published_file(args.vocoder)

    import yaml

    from modules.dataset.layout import find_clips

    training: list[Path] = []
    validation: list[Path] = []
    spk: dict[str, int] = {}
    seconds: dict[Path, float] = {}
    for speaker, files in find_clips(args.source_dir).items():
        found = usable_clips(files)
        if not found:
            logger.warning("speaker %s has no usable clip and is left out", speaker)
            continue
        odd = [path.as_posix() for path in found if not PLAIN_NAME.fullmatch(f"{speaker}/{path.name}")]
        if odd:
            logger.warning(
                "%d names hold more than A-Z a-z 0-9 . _ -, for example %s: they work here, other "
                "tools may fail on them",
                len(odd),
                odd[0],
            )
        spk[speaker] = len(spk)
        seconds |= found
        for all_clips, some in zip((training, validation), split(found, speaker), strict=True):
            all_clips += some
    if not spk:
        raise AudioError(f"{args.source_dir} holds no usable clip; run resample.py, then this step again")

    template = "_tiny_template" if args.tiny else "_template"
    config = json.loads((TEMPLATES / f"config{template}.json").read_text(encoding="utf-8"))
    if args.tiny:  # a small model can start from the base model, of the same sizes
        config["model"] |= starter_sizes(args.speech_encoder)
    diffusion = yaml.safe_load((TEMPLATES / f"diffusion{template}.yaml").read_text(encoding="utf-8"))
    fill_templates(config, diffusion, spk, args, encoder, ckpt)

    for path, clips in ((args.train_list, training), (args.val_list, validation)):
        write_text(path, "".join(f"{clip.as_posix()}\n" for clip in clips))
    config_dir = Path(args.config_dir)
    write_config(config_dir / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    write_config(
        config_dir / "diffusion.yaml", yaml.safe_dump(diffusion, sort_keys=False, allow_unicode=True)
    )

    window = diffusion["data"]["duration"]
    short = sum(length < window for length in seconds.values())
    if short:
        print(
            f"{short} of {len(seconds)} clips are shorter than data.duration in diffusion.yaml, "
            f"{window} s: train_diff.py will leave them out unless you lower it"
        )
    print(
        f"{len(spk)} speakers, {len(training)} training and {len(validation)} validation clips; "
        f"{args.speech_encoder} units, {args.vocoder} vocoder\n"
        f"written: {args.train_list}, {args.val_list}, {config_dir}/config.json, {config_dir}/diffusion.yaml"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
