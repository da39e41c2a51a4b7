"""Step 4: train the voice model.

Reads configs/config.json and the features of step 3; writes checkpoints,
TensorBoard logs and a copy of the configuration to logs/<model>.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.cli import add_training_flags, entry_point, make_parser
from modules.common.errors import ConfigError
from modules.common.files import write_json

if TYPE_CHECKING:
    from modules.config import Config, TrainConfig
    from training.distributed import DistributedContext
    from training.tasks.preview import AudioScorer

EPILOG = """\
examples:
  python train.py -c configs/config.json -m 44k
  python train.py --device cpu --max_minutes 30
  python train.py --base starter                     after step 2 with --tiny and ppg-starter2
  torchrun --nnodes 2 --nproc_per_node 4 --rdzv_backend c10d --rdzv_endpoint HOST:29500 train.py

All GPUs of this machine are used, one process each; --device cuda:0 uses one.
Start it again to continue: it goes on from the newest checkpoint in logs/<model>,
exactly where it stopped. A new run starts from --base, or from the G_0.pth that you put there.
Watch with:  tensorboard --logdir logs
Next step:   python inference_main.py -m logs/44k/G_<step>.pth -n <song> -s <speaker>
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add_training_flags(parser, "configs/config.json")
    parser.add_argument("-m", "--model", default="44k", help="name of the run: logs/<model> (%(default)s)")
    parser.add_argument(
        "--base",
        metavar="FILE",
        help="model that a new run starts from; starter: the included one, for --tiny with "
        "ppg-starter2; auto: starter where it fits (default: logs/<model>/G_0.pth, if it is there)",
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train; return the exit code."""
    args = get_parser().parse_args(argv)

    from modules.common.device import resolve_device
    from modules.config import load_config
    from training.distributed import DistributedContext
    from training.launch import launch, wanted_processes

    config = load_config(args.config)
    device = resolve_device(args.device)
    if (count := wanted_processes(device)) > 1:
        return launch(__file__, sys.argv[1:] if argv is None else argv, count, config.train.port)
    with DistributedContext(device) as context:
        return _train(args, config, context)


def _train(args: argparse.Namespace, config: Config, context: DistributedContext) -> int:
    from modules.common.progress import progress_bar
    from modules.config import read_json
    from modules.dataset.f0_survey import survey_f0
    from modules.dataset.feature_record import recipe
    from training.base_model import AUTO_NAME, STARTER_ENCODER, STARTER_NAME, find_base, find_fitting_base
    from training.data.filelist import checked_clips
    from training.launch import describe_result, describe_run, only_training, warn_of_unused
    from training.loop import Trainer
    from training.tasks.glow import GlowTask

    folder, values = Path("logs") / args.model, read_json(args.config)
    if context.is_main:
        warn_of_unused(config, values, args.config)
    base = find_base(args.base) if args.base and args.base != AUTO_NAME else None
    lists = config.data.training_files, config.data.validation_files
    training, validation = checked_clips(lists, recipe(config), "run step 3 again", context.is_main)
    scorer = _scorer(config.train) if context.is_main and config.train.score_every else None
    task = GlowTask(config, training, validation, context.device, scorer)
    if args.base == AUTO_NAME:
        base = find_fitting_base(task, config.model.speech_encoder, context.is_main)
    with only_training(folder, context):
        trainer = Trainer(task, config.train, folder, context, args.max_minutes, base)
        if context.is_main:
            # only now is it certain that the configuration fits the checkpoints
            surveys = survey_f0(progress_bar(training, desc="F0 range", unit="clip"))
            f0_range = {speaker: survey.range for speaker, survey in surveys.items() if survey.range}
            write_json(folder / "config.json", {**values, "f0_range": f0_range})
            print(describe_run(trainer, len(training), len(validation)))
            if trainer.state.fresh and config.model.speech_encoder == STARTER_ENCODER and not args.base:
                print(f"training from scratch; a --tiny model could start from --base {STARTER_NAME}")
        trainer.run()
        if context.is_main:
            print(describe_result(trainer))
    return 0


def _scorer(train: TrainConfig) -> AudioScorer:
    """Evaluator of the sound of validations; raises ConfigError without the metric of train.best_by."""
    from evaluation.validation import build_scorer

    scorer, missing = build_scorer()
    for name, reason in missing.items():
        if name == train.best_by:
            raise ConfigError(f"train.best_by {name}: {reason}")
        logging.warning("train.score_every: no %s: %s", name, reason)
    return scorer


if __name__ == "__main__":
    sys.exit(main())
