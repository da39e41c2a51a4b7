"""Export voice models and speech encoders to ONNX, for other programs and for conversion without PyTorch.

A voice model is checkpoints/<name>/model.pth and config.json (and diffusion.pt and
diffusion.yaml, if it has a diffusion model). It becomes model.onnx, units and
pitch to a mel, and vocoder.onnx, mel to audio, beside them; checkpoints/<name>.json
describes them. An encoder takes 16 kHz audio of any length, "source" [1, 1,
samples], and gives its units, "embed" [1, units, channels]. Every file is compared
with PyTorch before it is put in its place. See docs/onnx.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError

EPILOG = """\
examples:
  python onnx_export.py -n anna                  checkpoints/anna/model.pth, config.json
  python onnx_export.py -n anna --check          compare at many lengths, with the speed of each
  python onnx_export.py -n anna --fuse           one file, from units to audio
  python onnx_export.py --encoder vec768l12 hubertsoft
  python onnx_export.py --encoder vec256l9 --weights D:/models/hubert_base.pt -o D:/onnx

An exported voice model converts songs without PyTorch:
  python inference_main.py --onnx checkpoints/anna -n song -s anna

The weights of the encoder or the vocoder are needed, see: python -m pretrain --list
Where the files of encoders are by default, the encoders vec768l12-onnx, vec256l9-onnx and
hubertsoft-onnx find them: python preprocess_flist_config.py --speech_encoder vec768l12-onnx
"""
CHECKPOINTS = "checkpoints"


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    from export import exportable

    parser = make_parser(__doc__, EPILOG)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-n", "--name", help="a voice model: the name of its folder in checkpoints/")
    what.add_argument(
        "--encoder",
        nargs="+",
        metavar="NAME",
        help=f"speech encoders, one or several of: {', '.join(exportable())}",
    )
    voice = parser.add_argument_group("for a voice model")
    voice.add_argument(
        "--fuse",
        action="store_true",
        help="include the vocoder: model.onnx then gives audio, without a vocoder.onnx",
    )
    voice.add_argument(
        "-a",
        "--auto_predict_f0",
        action="store_true",
        help="also write f0.onnx, which predicts the pitch, for inference_main.py -a",
    )
    voice.add_argument(
        "--check",
        action="store_true",
        help="compare onnxruntime with PyTorch at many lengths; print differences and speed",
    )
    encoder = parser.add_argument_group("for an encoder")
    encoder.add_argument("-o", "--output", metavar="FOLDER", help="where to (default: pretrain/)")
    encoder.add_argument(
        "--weights", metavar="FILE", help="the encoder's weights, if they are not in the folder of downloads"
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Export the voice, or the encoders that do not exist yet; return the exit code."""
    args = get_parser().parse_args(argv)

    if args.name is not None and (args.output or args.weights):
        raise ConfigError("-o and --weights belong to --encoder; a voice model stays in its folder")
    if args.name is None and (args.fuse or args.auto_predict_f0 or args.check):
        raise ConfigError("--fuse, -a and --check are for a voice model, -n; encoders are always compared")
    if args.name is not None:
        _export_voice(Path(CHECKPOINTS) / args.name, args.fuse, args.auto_predict_f0, args.check)
    else:
        _export_encoders(args.encoder, args.output, args.weights)
    return 0


def _export_voice(folder: Path, fuse: bool, melody: bool, check: bool) -> None:
    """Export the voice in ``folder``, list the files, and compare them at several lengths if ``check``."""
    from modules.common.progress import stage

    with stage(f"reading the models in {folder}"):
        from export.voice import export_voice_model, load_voice
        from modules.onnx.manifest import manifest_path

        voice = load_voice(folder, fuse, melody)
    paths = export_voice_model(folder, voice)
    for path in (*paths, manifest_path(folder)):
        print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")
    if not check:
        return
    from export.check import compare

    for graph, path in zip(voice.graphs, paths, strict=True):
        name, _ = graph.output
        print(f"\n{path}, output {name!r}")
        print(f"{'frames':>8} {'difference':>12} {'of largest':>12} {'PyTorch':>10} {'onnxruntime':>12}")
        with stage(f"comparing {path} with PyTorch"):
            results = compare(graph, path)
        for result in results:
            print(
                f"{result.n_frames:>8} {result.difference:>12.1e} {result.largest:>12.2f} "
                f"{result.torch_seconds:>8.3f} s {result.onnx_seconds:>10.3f} s"
            )
        print(f"largest difference of {name!r}: {max(result.difference for result in results):.1e}")


def _export_encoders(names: Sequence[str], output_folder: str | None, weights: str | None) -> None:
    """Export the encoders that do not exist yet."""
    from export import file_name
    from modules.common.progress import stage
    from modules.pretrained.weights import folder, weights_path
    from vencoder import ENCODERS

    output = Path(output_folder) if output_folder else folder()
    results = {name: output / file_name(name) for name in names}
    if weights and len(results) > 1:
        raise ConfigError("--weights is the file of one encoder; name only that one after --encoder")
    missing = {name: path for name, path in results.items() if not path.exists()}
    for name in missing:  # refused before the first is exported
        key = ENCODERS[name].weights
        if key and not weights:
            weights_path(key)
    for name, path in results.items():
        if name not in missing:
            print(f"{name}: {path} exists already; delete it to export it again")
            continue
        with stage(f"{name}: reading the weights"):
            from export.check import TOLERANCE
            from export.encoder import export_encoder

            encoder = ENCODERS.build(name, "cpu", weights=weights and Path(weights))
        difference = export_encoder(encoder, path)
        print(
            f"{name}: largest difference {difference:.1e} of the largest unit (allowed: {TOLERANCE:.0e}); "
            f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    sys.exit(main())
