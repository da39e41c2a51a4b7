r"""Effect of diffusion on the mel, on validation clips, beside the Glow model alone.

    python -m benchmarks.quality.refining <folder of recordings of one voice> \
        --picture docs/pictures/diffusion.png

prepares the recordings with steps 1 to 3, trains a tiny Glow model, a diffusion
model and a rectified flow for some minutes each, and reconstructs the validation
clips from their own units, pitch and voice. The table gives the mel's distance to
the recording's (mean absolute difference, natural log), its variance over time, and
its contrast between neighbouring mel bins, both as a share of the recording's; an
oversmoothed mel has less than 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from benchmarks.measure import table, temporary_folder
from benchmarks.workspace import prepare, run
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.pipeline import Segment
from modules.common.cli import make_parser
from modules.config import Config, load_config
from modules.dataset import features
from modules.dsp.align import align_units
from training.data.filelist import read_filelist
from vencoder import ENCODERS

TYPES = {"Diffusion": "diffusion", "ReFlow": "reflow"}
FLOOR = -11.0  # natural log; frames whose loudest bin is below are silence, which is not measured
FRAMES_DRAWN = 350  # frames of a clip in the picture, 4 s


def compare(mel: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """L1 distance, variance ratio and contrast ratio of a mel (M, N) and the recording's."""
    sounding = true.max(0) > FLOOR
    mel, true = mel[:, sounding], true[:, sounding]
    contrast, true_contrast = (np.square(np.diff(x, axis=0)).mean() for x in (mel, true))
    variance = mel.var(1).mean() / true.var(1).mean()
    return float(np.abs(mel - true).mean()), float(variance), float(contrast / true_contrast)


def train(folder: Path, recordings: Path, minutes: float, minutes_each: float) -> None:
    """Fill ``folder`` with the features and three models."""
    prepare(folder, recordings=recordings)
    run(folder, "preprocess_hubert_f0.py", "--f0_predictor", "pm", "--device", "cpu", "--use_diff")
    print(run(folder, "train.py", "--max_minutes", str(minutes)).splitlines()[-2])
    template = folder / "configs/diffusion.yaml"
    for kind, name in TYPES.items():
        values = yaml.safe_load(template.read_text(encoding="utf-8"))
        values["model"]["type"], values["env"]["expdir"] = kind, f"logs/44k/{name}"
        values["infer"]["method"] = ""
        path = folder / f"configs/{name}.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        output = run(folder, "train_diff.py", "-c", str(path), "--max_minutes", str(minutes_each))
        print(f"{kind}: {output.splitlines()[-2]}")


def candidates(folder: Path) -> Iterator[tuple[str, ConvertOptions]]:
    """Yield the options of each way to convert, by label."""
    glow = ConvertOptions(
        model_path=str(folder / "logs/44k/G_best.pth"),
        config_path=str(folder / "logs/44k/config.json"),
        device="cpu",
    )
    yield "Glow, without noise (-ns 0)", replace(glow, noise_scale=0.0)
    yield "Glow", glow
    for kind, name in TYPES.items():
        run_folder = folder / "logs/44k" / name
        base = replace(
            glow,
            diffusion_model_path=str(run_folder / "model_best.pt"),
            diffusion_config_path=str(run_folder / "config.yaml"),
        )
        for k_step, speedup in ((100, 10), (300, 30), (600, 60)):
            label = f"{kind}, -shd -ks {k_step}, {k_step // speedup} evaluations"
            yield label, replace(base, shallow_diffusion=True, k_step=k_step, diffusion_speedup=speedup)
        second = replace(base, shallow_diffusion=True, second_encoding=True, k_step=300, diffusion_speedup=30)
        yield f"{kind}, -shd -se -ks 300", second
        yield f"{kind} alone, -od, 20 evaluations", replace(base, only_diffusion=True, diffusion_speedup=50)


def segment_of(clip: Path, config: Config) -> tuple[Segment, np.ndarray]:
    """Input of the converter from a clip's features, and the recording's mel (M, N)."""
    true = features.load_mel(clip).numpy()
    f0, uv = (track.numpy() for track in features.load_f0(clip))
    units = features.load_units(clip).numpy()
    stretched = align_units(units, true.shape[1], config.data, ENCODERS[config.model.speech_encoder].clock)
    number = config.speaker_id(clip.parent.name)
    return Segment(0, stretched, f0, uv, features.load_volume(clip).numpy(), number), true


def measure(folder: Path, clips: Sequence[Path]) -> tuple[list[list[str]], dict[str, np.ndarray]]:
    """A row of the table for each way to convert, and the mels of the first clip by label."""
    rows: list[list[str]] = []
    mels: dict[str, np.ndarray] = {}
    for name, options in candidates(folder):
        converter = Converter(options)
        scores, seconds, spent = [], 0.0, 0.0
        for clip in clips:
            segment, true = segment_of(clip, converter.config)
            began = time.perf_counter()
            mel = converter.mel(segment, lambda share: None)[0].numpy()
            spent += time.perf_counter() - began
            seconds += true.shape[1] * converter.config.data.hop_length / converter.sampling_rate
            scores.append(compare(mel, true))
            mels.setdefault("the recording", true)
            mels.setdefault(name, mel)
        means = np.mean(scores, axis=0)
        rows.append([name, *(f"{value:.2f}" for value in means), f"{spent / seconds:.3f}"])
    return rows, mels


def draw(path: Path, mels: dict[str, np.ndarray]) -> None:
    """Draw the mels (M, N), one below the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.9 * len(mels)), layout="constrained")
    axes = figure.subplots(len(mels), 1, sharex=True)
    for axis, (name, mel) in zip(axes, mels.items(), strict=True):
        axis.imshow(mel[:, :FRAMES_DRAWN], origin="lower", aspect="auto", vmin=-11, vmax=1, cmap="magma")
        axis.set_title(name, loc="left", fontsize=9)
        axis.set_ylabel("mel bin", fontsize=8)
    axes[-1].set_xlabel("frame (86 a second)", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70)


def main() -> None:
    """Train, print the table and draw the picture."""
    parser = make_parser(__doc__)
    parser.add_argument("recordings", type=Path, help="folder of audio, one voice")
    parser.add_argument("--minutes", type=float, default=5.0, help="for the Glow model (%(default)s)")
    parser.add_argument("--minutes_each", type=float, default=8.0, help="for the other two (%(default)s)")
    parser.add_argument("--picture", type=Path, help="picture of the mels of the first clip")
    args = parser.parse_args()
    with temporary_folder() as folder:
        train(folder, args.recordings.resolve(), args.minutes, args.minutes_each)
        config = load_config(folder / "logs/44k/config.json")
        clips = [folder / clip for clip in read_filelist(folder / config.data.validation_files)]
        rows, mels = measure(folder, clips)
        table(["", "mel L1", "variance", "contrast", "real-time factor"], rows)
        if args.picture:
            shown = [name for name in mels if "-se" not in name and "300" not in name and "600" not in name]
            draw(args.picture, {name: mels[name] for name in shown})
            print(f"picture: {args.picture}")


if __name__ == "__main__":
    main()
