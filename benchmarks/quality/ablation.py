"""Effect of each setting of the demo: one changed at a time, all evaluated alike.

    python -m benchmarks.quality.ablation WORK --recordings <folder> --song <file> --key 7 --spoken <folder>

The folder of the voice is prepared once for each speech encoder, a model is trained
for each setting, and evaluate.py measures the song (melody, similarity, sound) and, for
the words, sentences of another speaker (tools.starter.spoken writes such files, with
their texts). Finished parts are kept in WORK: run it again to continue, or to print
the table again. Needs requirements-quality.txt.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.measure import table
from benchmarks.workspace import prepare, run
from modules.common.cli import make_parser
from modules.common.files import write_json
from modules.config import FINE_TUNED
from modules.pretrained.starter import STARTER_ENCODER
from training.base_model import STARTER_NAME

STEPS = 500  # of training: minutes would depend on the load of the machine
COLUMNS = {
    "similarity_target": "to voice",
    "similarity_source": "to source",
    "dnsmos_ovrl": "OVRL",
    "f0_accuracy": "F0",
    "transcript_error": "words unlike the source's",
}


@dataclass(frozen=True)
class Ablation:
    """One row."""

    encoder: str = STARTER_ENCODER
    base: bool = True  # training starts from the base model of the starter kit
    train: dict[str, Any] = field(default_factory=dict)  # changes of the configuration's section "train"
    model: dict[str, Any] = field(default_factory=dict)  # and of "model"
    training: float = 1.0  # steps, as a multiple of the default
    key: int = 0  # semitones added to the default
    convert: tuple[str, ...] = ()  # options of the conversion

    @property
    def voice(self) -> str:
        """Name of the model that this needs."""
        parts = [f"{name}-{value}" for name, value in {**self.train, **self.model}.items()]
        start = "base" if self.base else "nothing"
        return "_".join([self.encoder, start, f"x{self.training:g}", *parts])


SETTINGS = {
    "the demo's": Ablation(),
    "from scratch, not from the base model": Ablation(base=False),
    "from scratch, units: mfcc": Ablation(encoder="mfcc", base=False),
    "no copies in other voices": Ablation(train={"perturb_ratio": 0.0}),
    "noise on the units, 0.5": Ablation(train={"unit_noise": 0.5}),
    "half the training": Ablation(training=0.5),
    "retrieval, -cr 0.3": Ablation(convert=("-fr", "-cr", "0.3")),
    "retrieval, -cr 0.6": Ablation(convert=("-fr", "-cr", "0.6")),
    "key 3 lower": Ablation(key=-3),
    "key 3 higher": Ablation(key=3),
    "no noise, -ns 0": Ablation(convert=("-ns", "0")),
    "-ns 0.8": Ablation(convert=("-ns", "0.8")),
    "copies in other voices in nearly all cases": Ablation(train={"perturb_ratio": 0.95}),
    "twice the rate": Ablation(train={"learning_rate": 0.002}),
    "twice the training": Ablation(training=2.0),
    "from scratch, twice the training": Ablation(base=False, training=2.0),
    "from scratch, 6 flow blocks, not 10": Ablation(base=False, model={"n_flow_block_layer": 6}),
    "from scratch, text encoder twice as wide": Ablation(
        base=False, model={"hidden_channels": 192, "filter_channels": 512}
    ),
}


def main() -> None:
    """Train and evaluate what is not finished yet; print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--recordings", required=True, type=Path, help="folder of the voice")
    parser.add_argument("--song", required=True, type=Path, help="a song by another singer")
    parser.add_argument("--key", type=int, default=0, help="semitones that suit the song (%(default)s)")
    parser.add_argument("--spoken", type=Path, help="folder of sentences (.wav) and their words (.txt)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, metavar="ROW", help="rows (all)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in tqdm(args.only or SETTINGS, desc="settings", unit="row"):
        setting = SETTINGS[name]
        path = args.work / "judged" / f"{name}.json"
        if not path.exists():
            write_json(path, _evaluate(setting, args))
        found = json.loads(path.read_text(encoding="utf-8"))
        wanted = [("song", metric) for metric in COLUMNS]
        wanted += [("spoken", "word_error"), ("spoken", "dnsmos_ovrl")]
        rows.append([name, *(_cell(found[kind].get(metric)) for kind, metric in wanted)])
    table(["setting", *COLUMNS.values(), "word errors", "OVRL, speech"], rows)


def _cell(score: dict[str, float] | None) -> str:
    if not score or score["value"] is None:
        return ""
    reference = score["reference"]
    return f"{score['value']:.3f}" + (f" ({reference:.3f})" if reference is not None else "")


def _evaluate(setting: Ablation, args: argparse.Namespace) -> dict[str, Any]:
    """Mean scores of the song and of the spoken sentences."""
    folder = _prepared(setting.encoder, args)
    model = _trained(setting, folder, args)
    if "-fr" in setting.convert and not (model.parent / "feature_and_index.pkl").exists():
        config = str(model.with_name("config.json"))
        run(folder, "train_index.py", "-c", config, "--output_dir", str(model.parent))
    index = ("-cm", str(model.parent / "feature_and_index.pkl")) if "-fr" in setting.convert else ()
    common = ["-m", str(model), "--target", str(args.recordings.resolve()), *setting.convert, *index]

    def evaluated(kind: str, *arguments: str) -> dict[str, Any]:
        output = folder / "judged" / kind
        run(folder, "evaluate.py", *common, *arguments, "--output", str(output))
        report = json.loads((output / "report.json").read_text(encoding="utf-8"))
        return report["models"][0]["means"]

    key = str(args.key + setting.key)
    found = {"song": evaluated("song", "-n", str(args.song.resolve()), "-t", key), "spoken": {}}
    if args.spoken:
        wavs = sorted(args.spoken.resolve().glob("*.wav"))
        texts = [str(wav.with_suffix(".txt")) for wav in wavs]
        found["spoken"] = evaluated("spoken", "-n", *map(str, wavs), "--text", *texts)
    return found


def _prepared(encoder: str, args: argparse.Namespace) -> Path:
    folder = args.work.resolve() / encoder
    if not (folder / ".complete").exists():
        folder.mkdir(exist_ok=True)
        prepare(folder, recordings=args.recordings, encoder=encoder)
        (folder / ".complete").touch()
    return folder


def _trained(setting: Ablation, folder: Path, args: argparse.Namespace) -> Path:
    """Train a model; its newest checkpoint, as the demo uses."""
    values = json.loads((folder / "configs" / "config.json").read_text(encoding="utf-8"))
    steps = round(args.steps * setting.training)
    values["train"] |= {"max_steps": steps, "eval_interval": steps, **setting.train}
    values["fine_tuning"] |= {name: value for name, value in setting.train.items() if name in FINE_TUNED}
    values["model"] |= setting.model
    config = folder / "configs" / f"{setting.voice}.json"
    write_json(config, values)
    start = ["--base", STARTER_NAME] if setting.base else []
    run(folder, "train.py", "-c", str(config), "-m", setting.voice, *start)
    models = (folder / "logs" / setting.voice).glob("G_[0-9]*.pth")
    return max(models, key=lambda path: int(path.stem[2:]))


if __name__ == "__main__":
    main()
