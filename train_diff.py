"""Step 4b: train the diffusion model, which refines the voice model's mel, or converts alone.

Reads configs/diffusion.yaml and the features of step 3, made with --use_diff;
writes checkpoints, TensorBoard logs and a copy of the configuration to its
env.expdir, logs/44k/diffusion. With model.type ReFlow it trains a rectified flow.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.cli import add_training_flags, entry_point, make_parser
from modules.common.errors import ConfigError
from modules.common.files import write_text

if TYPE_CHECKING:
    from diffusion.config import DiffusionConfig
    from training.distributed import DistributedContext

EPILOG = """\
examples:
  python preprocess_hubert_f0.py --use_diff
  python train_diff.py -c configs/diffusion.yaml
  python train_diff.py --device cpu --max_minutes 30
  torchrun --nnodes 2 --nproc_per_node 4 --rdzv_backend c10d --rdzv_endpoint HOST:29500 train_diff.py

All GPUs of this machine are used, one process each; --device cuda:0 uses one, and so does an
env.gpu_id above 0. Start it again to continue from the newest checkpoint, exactly where it
stopped if train.save_opt is on. Put a base model into env.expdir as model_0.pt to start from it.
Watch with:  tensorboard --logdir logs
Next step:   python inference_main.py -shd -dm logs/44k/diffusion/model_<step>.pt -n <song> -s <speaker>
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add_training_flags(parser, "configs/diffusion.yaml", "the configuration's, else detected automatically")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train; return the exit code."""
    args = get_parser().parse_args(argv)

    from diffusion.config import load_diffusion_config
    from training.distributed import DistributedContext
    from training.launch import launch, wanted_processes

    config = load_diffusion_config(args.config)
    device = _device(args.device, config)
    if (count := wanted_processes(device)) > 1:
        return launch(__file__, sys.argv[1:] if argv is None else argv, count, config.train.port)
    with DistributedContext(device) as context:
        return _train(args, config, context)


def _device(asked: str | None, config: DiffusionConfig):  # noqa: ANN202 - torch is imported late
    """Device of the command line, else of the configuration, else detected automatically."""
    from modules.common.device import resolve_device

    if asked:
        return resolve_device(asked)
    name = config.device
    if name in ("", "cuda") and config.env.gpu_id > 0 and "WORLD_SIZE" not in os.environ:
        name = f"cuda:{config.env.gpu_id}"
    try:
        return resolve_device(name)
    except ConfigError as error:
        raise ConfigError(f"{error}. The configuration asks for it; --device takes another") from None


def _train(args: argparse.Namespace, config: DiffusionConfig, context: DistributedContext) -> int:
    import yaml

    from training.data.filelist import checked_clips
    from training.launch import describe_result, describe_run, only_training, warn_of_unused
    from training.loop import Trainer
    from training.tasks.diffusion import DiffusionTask, engine_config, wanted_features

    text = Path(args.config).read_text(encoding="utf-8-sig")
    folder = Path(config.env.expdir)
    if context.is_main:
        warn_of_unused(config, yaml.safe_load(text), args.config)
    lists = config.data.training_files, config.data.validation_files
    advice = "run preprocess_hubert_f0.py --use_diff again"
    training, validation = checked_clips(lists, wanted_features(config), advice, context.is_main)
    task = DiffusionTask(config, training, validation, context.device)
    if context.is_main:
        task.model.decoder.check_full_range()
    with only_training(folder, context):
        settings = engine_config(config.train, context.device)
        trainer = Trainer(task, settings, folder, context, args.max_minutes)
        if context.is_main:
            # only now is it certain that the configuration fits the checkpoints
            write_text(folder / "config.yaml", text)
            n_training = len(task.training_set.clips)
            print(f"{config.model.type}: {describe_run(trainer, n_training, len(validation))}")
        trainer.run()
        if context.is_main:
            print(describe_result(trainer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
