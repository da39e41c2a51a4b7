"""Step 3: compute the features of every clip: units, F0, mel and volume.

Reads dataset/44k/<speaker>/*.wav and configs/config.json; writes the features
beside each clip. Nothing needs a vocoder.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.cli import add_device, entry_point, make_parser
from modules.common.errors import AudioError
from modules.f0_predictor import DEFAULT_PREDICTOR, F0_PREDICTORS, warn_of_fallback

if TYPE_CHECKING:
    from modules.config import Config
    from modules.dataset.feature_record import Recipe
    from training.data.extraction import ExtractionJob, Extractor
    from training.distributed import DistributedContext

EPILOG = """\
examples:
  python preprocess_hubert_f0.py
  python preprocess_hubert_f0.py --use_diff                                before train_diff.py
  python preprocess_hubert_f0.py --f0_predictor fcpe --num_processes 0     another pitch tracker, all cores
  torchrun --nproc_per_node 4 preprocess_hubert_f0.py                      four GPUs; also across machines

Run it again to continue after an interruption, after new clips or another setting in
config.json: only what is missing or was made otherwise is computed.
Next step:  python train.py, and with --use_diff python train_diff.py
"""

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add("-c", "--config", default="configs/config.json", help="configuration, from step 2 (%(default)s)")
    add("--in_dir", default="dataset/44k", help="the data set, from step 1 (%(default)s)")
    add(
        "--f0_predictor",
        help=f"{', '.join(F0_PREDICTORS)}; default: as the features that are there, else {DEFAULT_PREDICTOR}",
    )
    add(
        "--use_diff", action="store_true", help="also the features of train_diff.py: volume, and shifted mels"
    )
    add("--num_processes", type=int, default=1, help="clips at a time; 0: one per core (%(default)s)")
    add_device(parser)
    return parser


_extractor: Extractor  # of this process


def _set_up(*args: Any) -> None:
    global _extractor
    from training.data.extraction import Extractor

    _extractor = Extractor(*args)


def _process(jobs: Sequence[ExtractionJob]) -> list[tuple[Path, str]]:
    """Clips, each with the reason why it could not be used, or an empty text."""
    return [(job.wav, reason) for job, reason in zip(jobs, _extractor.process(jobs), strict=True)]


def plan(
    wavs: Sequence[Path], in_dir: Path, wanted: Recipe, verbose: bool = True
) -> tuple[list[ExtractionJob], dict[str, dict[str, int]]]:
    """Jobs of the clips that lack features, and by reason and kind of feature how many lack it."""
    from modules.common.progress import progress_bar
    from modules.dataset.feature_record import stale
    from training.data.extraction import ExtractionJob

    jobs = []
    reasons: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for wav in progress_bar(wavs, desc="checking", unit="clip", disable=not verbose):
        missing = stale(wav, wanted)
        if missing:
            place = wav.relative_to(in_dir).as_posix().encode()
            seed = int.from_bytes(hashlib.blake2b(place, digest_size=8).digest(), "little")
            jobs.append(ExtractionJob(wav, wanted, frozenset(missing), seed))
        for kind, reason in missing.items():
            reasons[reason][kind] += 1
    return jobs, reasons


def make_report(clips: Mapping[str, Sequence[Path]], skipped: Mapping[Path, str]) -> dict[str, Any]:
    """Contents of the data set, see modules/dataset/report.py."""
    from modules.dataset.f0_survey import survey_f0
    from modules.dataset.feature_record import FeatureRecord
    from modules.dataset.report import summarize

    good = {speaker: [wav for wav in wavs if wav not in skipped] for speaker, wavs in clips.items()}
    facts = {speaker: [FeatureRecord.load(wav).clip for wav in wavs] for speaker, wavs in good.items()}
    surveys = survey_f0(wav for wavs in good.values() for wav in wavs)
    return summarize(facts, skipped.values(), surveys)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Make the features that are missing; return the exit code."""
    args = get_parser().parse_args(argv)
    if args.f0_predictor:
        F0_PREDICTORS[args.f0_predictor]

    from modules.common.device import resolve_device
    from modules.config import load_config
    from training.distributed import DistributedContext

    config = load_config(args.config)
    with DistributedContext(resolve_device(args.device)) as context:
        return _preprocess(args, config, context)


def _preprocess(args: argparse.Namespace, config: Config, context: DistributedContext) -> int:
    from modules.common.progress import stage
    from modules.dataset.feature_record import recipe
    from modules.dataset.layout import find_clips
    from modules.dataset.report import as_text, save_report
    from vencoder import ENCODERS

    encoder = ENCODERS[config.model.speech_encoder]
    in_dir = Path(args.in_dir)
    clips = find_clips(in_dir)
    args.f0_predictor = args.f0_predictor or _choose_predictor(clips, context.is_main)
    wanted = recipe(
        config,
        args.f0_predictor,
        args.use_diff,
        encoder_weights=encoder.fingerprint(),
        n_perturbed=encoder.n_perturbed,
    )
    # each process plans for its own clips only, so it does not matter who begins first
    mine = [wav for wavs in clips.values() for wav in wavs][context.rank :: context.size]
    jobs, reasons = plan(mine, in_dir, wanted, context.is_main)
    if context.is_main:
        for reason, kinds in reasons.items():
            names = ", ".join(kind.replace("_", " ") for kind in kinds)
            print(f"{reason}: making {names} of {max(kinds.values())} clips")
    skipped = {
        wav: reason for part in context.all_gather(_make(args, config, context, jobs)) for wav, reason in part
    }
    if not context.is_main:
        return 0
    with stage("reading the features for the report"):
        report = make_report(clips, skipped)
    print(as_text(report))
    for speaker, facts in report["speakers"].items():
        if facts["f0"] is None:
            logger.warning(
                "speaker %s: %.0f %% is voiced: whispered, or try --f0_predictor crepe; no key is advised",
                speaker,
                100 * facts["voiced"],
            )
    print(f"report: {save_report(in_dir, 'features', report)}")
    if not report["speakers"]:
        raise AudioError(f"no clip in {in_dir} could be used; the reasons are listed above")
    return 0


def _choose_predictor(clips: Mapping[str, Sequence[Path]], verbose: bool) -> str:
    """F0 predictor of most features that are there, else the default one."""
    from modules.dataset.feature_record import settings_of

    made = settings_of((wav for wavs in clips.values() for wav in wavs), "f0", "f0_predictor")
    known = {name: len(wavs) for name, wavs in made.items() if name in F0_PREDICTORS}
    name = max(known, key=known.__getitem__, default=DEFAULT_PREDICTOR)
    if verbose and name != DEFAULT_PREDICTOR:
        print(f"F0 by {name}, as before; --f0_predictor {DEFAULT_PREDICTOR} makes it again")
    if verbose and not known:
        warn_of_fallback(name)
    return name


def _make(
    args: argparse.Namespace, config: Config, context: DistributedContext, jobs: Sequence[ExtractionJob]
) -> list[tuple[Path, str]]:
    """Make the features of this process's clips; return the unusable ones, each with its reason."""
    from modules.common.parallel import run
    from modules.common.progress import progress_bar
    from training.data.extraction import in_batches

    setup_args = (config.data, config.model.speech_encoder, args.f0_predictor, str(context.device))
    # a CPU gains nothing from batches, and an interruption would lose more
    one_by_one = context.device.type == "cpu"
    batches = [[job] for job in jobs] if one_by_one else in_batches(jobs, config.data.sampling_rate)
    skipped = []
    hidden = not jobs or not context.is_main
    with progress_bar(total=len(jobs), desc="features", unit="clip", leave=True, disable=hidden) as progress:
        for done in run(_process, batches, args.num_processes, _set_up, setup_args):
            for wav, reason in done:
                if reason:
                    skipped.append((wav, reason))
                    progress.write(f"skipped: {reason}", file=sys.stderr)
            progress.update(len(done))
    return skipped


if __name__ == "__main__":
    sys.exit(main())
