"""Step 8: a base model, which takes its speakers from recordings.

Training on a few minutes of one voice from scratch gives unclear speech. So a model is
trained here on all natural voices in WORK/speech: a voice's training starts from it
(train.py --base starter), and inference_main.py --reference needs no training.
Everything is in WORK/base; run it again to continue, with the voices that are there by then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.cli import entry_point, make_parser
from modules.pretrained.starter import STARTER, STARTER_ENCODER

if TYPE_CHECKING:
    from torch import Tensor

    from modules.config import Config

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "configs_template" / "config_tiny_template.json"
# wider than --tiny: there are hours to learn from, and all languages
SIZES = {
    "hidden_channels": 160,
    "filter_channels": 512,
    "n_layers": 4,
    "gin_channels": 128,
    "prenet_channels": 256,
    "prenet_layers": 6,
}
TRAIN = {
    "max_steps": 1_000_000,  # --minutes ends it
    "warmup_steps": 200,
    "eval_interval": 200,
    "batch_size": 16,
    # noise hides consonants, and the voices are too many for units to name one
    "unit_noise": 0.0,
    "perturb_ratio": 0.5,
}
_MOST = 100  # clips by which the units of two encoders are compared


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train and write; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.base")
    add = parser.add_argument
    add("work", type=Path, help="folder for all results")
    add("--encoder", default=STARTER_ENCODER, help="speech encoder (%(default)s)")
    add("--seconds", type=float, default=600, help="of each voice, at most (%(default)s)")
    add("--start", type=Path, help="base model to go on from, of any encoder, config.json beside it")
    add("--minutes", type=float, default=50, help="of training in all (%(default)s)")
    add("--seed", type=int, default=1)
    add("--processes", type=int, default=0, help="of the preparation; 0: one per core (%(default)s)")
    add("--prepare", action="store_true", help="make only what needs no speech encoder")
    add("--output", type=Path, help="file (default: what train.py --base starter reads)")
    args = parser.parse_args(argv)
    from modules.config import parse_config
    from tools.starter.clips import UNITS, WITHOUT_ENCODER, make_features, voices, write_voices

    values = configuration(args.encoder)
    rate = values["fine_tuning" if args.start else "train"]["learning_rate"]
    train_values = {**values["train"], **TRAIN, "learning_rate": rate, "seed": args.seed}
    config = parse_config({**values, "train": train_values})
    folders = voices(args.work / "speech")
    dataset, run = args.work / "base" / "clips", args.work / "base" / args.encoder
    write_voices(folders, dataset, args.seconds, args.seed, args.processes)
    clips = [clip for folder in folders for clip in sorted((dataset / folder.name).glob("*.wav"))]
    make_features(clips, config, WITHOUT_ENCODER, args.processes)
    if args.prepare:
        print(f"{len(folders)} voices, {len(clips)} clips in {dataset}")
        return 0
    make_features(clips, config, UNITS, args.processes)
    write(train(clips, config, run, args.minutes, args.start), values, args.output or STARTER)
    return 0


def configuration(encoder: str) -> dict[str, Any]:
    """Content of the config.json of the base model and of what starts from it, without speakers."""
    from vencoder import ENCODERS

    values: dict[str, Any] = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    values["model"] |= {
        **SIZES,
        "n_speakers": 1,
        "speech_encoder": encoder,
        "ssl_dim": ENCODERS[encoder].ssl_dim,
        "vocoder_name": "world",
    }
    return values


def train(
    clips: Sequence[Path], config: Config, folder: Path, minutes: float, start: Path | None = None
) -> Path:
    """Train, or continue, up to ``minutes`` in all; return the last checkpoint in ``folder``.

    A new run begins with the weights of ``start``, a base model of any encoder, if it is given. A
    prenet that it lacks begins as one that adds nothing.
    """
    import torch

    from modules.checkpoint import load_weights
    from tools.starter.clips import split
    from tools.starter.reference_task import ReferenceTask
    from training.base_model import PRENET, gets_prenet
    from training.distributed import DistributedContext
    from training.launch import describe_result, describe_run, only_training
    from training.loop import Trainer

    training, validation = split(clips)
    with DistributedContext(torch.device("cpu")) as context, only_training(folder, context):
        task = ReferenceTask(config, training, validation, context.device)
        trainer = Trainer(task, config.train, folder, context, minutes)
        if start and trainer.state.fresh:
            weights = _weights_of(start, training, config)
            if gets_prenet(task, weights):
                weights |= {k: v for k, v in task.model.state_dict().items() if k.startswith(f"{PRENET}.")}
            load_weights(task.model, weights, start)
            trainer.state.fresh = False
        print(describe_run(trainer, len(training), len(validation)), flush=True)
        trainer.run()
        print(describe_result(trainer))
    return trainer.checkpoints.path(trainer.progress.step)


def _weights_of(start: Path, clips: Sequence[Path], config: Config) -> dict[str, Tensor]:
    """Weights of the base model ``start`` for the units of ``config``, which lie beside ``clips``."""
    from modules.checkpoint import model_state
    from modules.config import load_config
    from tools.starter.transfer import both_units, transferred

    state, encoder = model_state(start), load_config(start.with_name("config.json")).model.speech_encoder
    if encoder == config.model.speech_encoder:
        return state
    return transferred(state, *both_units(clips[:: -(-len(clips) // _MOST)], encoder))


def write(checkpoint: Path, values: dict[str, Any], output: Path) -> None:
    """Write the model in half precision, and config.json beside it."""
    from model_tools.compress import compress_model
    from modules.common.files import write_json

    done = compress_model(checkpoint, output, half=True)
    write_json(output.with_name("config.json"), values)
    print(f"{output}: {done.after / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
