"""Step 4: train the voice model.

Reads configs/config.json and the features of step 3; writes checkpoints,
TensorBoard logs and a copy of the configuration to logs/<model>.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from modules.cli import entry_point

EPILOG = """\
examples:
  python train.py -c configs/config.json -m 44k
  python train.py --device cpu --max_minutes 30

Start it again to continue: it goes on from the newest checkpoint in logs/<model>,
exactly where it stopped. Put a base model there as G_0.pth to start from it.
Watch with:  tensorboard --logdir logs
Next step:   python inference_main.py -m logs/44k/G_<step>.pth -n <song> -s <speaker>
"""


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-c", "--config", default="configs/config.json", help="configuration (%(default)s)")
    parser.add_argument("-m", "--model", default="44k", help="name of the run: logs/<model> (%(default)s)")
    parser.add_argument("-d", "--device", help="cpu, cuda, cuda:1, mps; default: the best there is")
    parser.add_argument(
        "--max_minutes",
        type=float,
        default=0.0,
        help="stop when the run has taken this long, its earlier parts included; 0: no limit",
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train; return the exit code."""
    args = get_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")

    from modules.config import load_config, read_json
    from modules.device import resolve_device
    from modules.errors import FeatureError
    from modules.feature_record import failed, problems
    from modules.features import f0_ranges
    from modules.files import write_json
    from training.dataset import read_filelist
    from training.glow import GlowTask
    from training.loop import Trainer

    config = load_config(args.config)
    device = resolve_device(args.device)
    folder = Path("logs") / args.model
    training, validation = (
        _usable(read_filelist(path), failed)
        for path in (config.data.training_files, config.data.validation_files)
    )
    found = problems([*training, *validation], config)
    if found:
        shown = "\n  ".join(found[:10])
        more = f"\n  and {len(found) - 10} more" if len(found) > 10 else ""
        raise FeatureError(f"{len(found)} clips cannot be used; run step 3 again:\n  {shown}{more}")

    task = GlowTask(config, training, validation, device)
    trainer = Trainer(task, config, folder, device, args.max_minutes)
    # only now is it sure that the configuration fits the checkpoints that are there
    write_json(folder / "config.json", {**read_json(args.config), "f0_range": f0_ranges(training)})
    n_parameters = sum(p.numel() for p in task.model.parameters())
    print(
        f"{len(training)} clips to learn from, {len(validation)} to measure on; "
        f"{n_parameters / 1e6:.1f} M parameters, {trainer.precision.name} on {device}"
    )
    progress = trainer.run()
    print(f"trained {progress.step} steps: {trainer.checkpoints.path(progress.step)}")
    return 0


def _usable(clips: list[Path], failed: Callable[[Path], str]) -> list[Path]:
    """Return the clips that step 3 could use; the others were named there, and are named again."""
    from modules.errors import FeatureError

    reasons = {clip: failed(clip) for clip in clips}
    for clip, reason in reasons.items():
        if reason:
            print(f"left out: {clip}: {reason}", file=sys.stderr)
    kept = [clip for clip in clips if not reasons[clip]]
    if not kept:
        raise FeatureError("no clip is left: step 3 could use none of them")
    return kept


if __name__ == "__main__":
    sys.exit(main())
