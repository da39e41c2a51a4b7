"""Quality limit of a vocoder: recordings against their copy synthesis from mel and pitch.

    python -m benchmarks.quality.vocoder_ceiling <recordings> [<more> ...]

No model is involved, so this bounds the gain of a better vocoder. Rows of "world" differ in how
much it sharpens formants. The last row is WORLD itself (pyworld), which has the full spectrum and
the aperiodicity of the recording, where the vocoder has 128 mel bands.
Similarity is of each rendering to its own recording. Needs requirements-quality.txt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.measure import table
from evaluation.evaluators.cloning import copy_synthesis
from evaluation.evaluators.naturalness import distillmos, dnsmos
from evaluation.evaluators.similarity import cosine, embed
from evaluation.resynthesis import resynthesis
from modules.common.cli import make_parser
from modules.config import DataConfig
from modules.dsp.audio import find_audio, read_audio
from modules.f0_predictor import F0_PREDICTORS
from vdecoder.world import WorldVocoder

SHARPER = (0.0, 0.1, 0.2, 0.3)


def main() -> None:
    """Print the means over the recordings."""
    parser = make_parser(__doc__)
    parser.add_argument("recordings", nargs="+", type=Path, help="files, or folders of them")
    parser.add_argument("--most", type=int, default=12, help="recordings of a folder (%(default)s)")
    args = parser.parse_args()
    data = DataConfig()
    vocoders = {share: WorldVocoder(data, sharper=share) for share in SHARPER}
    predictor = F0_PREDICTORS.build("pm", sampling_rate=data.sampling_rate)
    paths = [
        path
        for given in args.recordings
        for path in (find_audio(given)[: args.most] if given.is_dir() else [given])
    ]
    found: dict[str, list[tuple[float, ...]]] = {}
    for path in tqdm(paths, unit="file"):
        audio, _ = read_audio(path, data.sampling_rate)
        f0, uv = predictor.predict(audio)
        voice = embed(audio, data.sampling_rate)
        for name, sound in {
            "the recordings": audio,
            **{
                f"their mel through world, formants {100 * share:.0f} % sharper": copy_synthesis(
                    audio, data, vocoder, f0, uv
                )
                for share, vocoder in vocoders.items()
            },
            "WORLD itself": resynthesis(audio, f0, uv, 0.0, data.sampling_rate, data.hop_length),
        }.items():
            similarity = cosine(embed(sound, data.sampling_rate), voice)
            scores = *dnsmos(sound, data.sampling_rate), distillmos(sound, data.sampling_rate), similarity
            found.setdefault(name, []).append(scores)
    rows = [[name, *(f"{mean:.3f}" for mean in np.nanmean(scores, axis=0))] for name, scores in found.items()]
    table([f"{len(paths)} recordings", "DNSMOS OVRL", "P.808", "DistillMOS", "similarity to itself"], rows)


if __name__ == "__main__":
    main()
