"""Quality limit of a vocoder: recordings against their copy synthesis from mel and pitch.

    python -m benchmarks.quality.vocoder_ceiling <recordings> [<more> ...]

No model is involved, so this bounds the gain of a better vocoder. The third row is
WORLD itself (pyworld), which has the full spectrum and the aperiodicity of the
recording, where the vocoder has 128 mel bands.
Similarity is of each rendering to its own recording. Needs requirements-quality.txt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.measure import table
from evaluation.evaluators.cloning import copy_synthesis
from evaluation.evaluators.naturalness import dnsmos
from evaluation.evaluators.similarity import cosine, embed
from evaluation.resynthesis import resynthesis
from modules.common.cli import make_parser
from modules.config import DataConfig
from modules.dsp.audio import find_audio, read_audio
from modules.f0_predictor import F0_PREDICTORS
from vdecoder import VOCODERS


def main() -> None:
    """Print the means over the recordings."""
    parser = make_parser(__doc__)
    parser.add_argument("recordings", nargs="+", type=Path, help="files, or folders of them")
    parser.add_argument("--most", type=int, default=12, help="recordings of a folder (%(default)s)")
    args = parser.parse_args()
    data = DataConfig()
    vocoder = VOCODERS.build("world", data, "cpu")
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
            "their mel through world": copy_synthesis(audio, data, vocoder, f0, uv),
            "WORLD itself": resynthesis(audio, f0, uv, 0.0, data.sampling_rate, data.hop_length),
        }.items():
            similarity = cosine(embed(sound, data.sampling_rate), voice)
            found.setdefault(name, []).append((*dnsmos(sound, data.sampling_rate), similarity))
    rows = [[name, *(f"{mean:.3f}" for mean in np.nanmean(scores, axis=0))] for name, scores in found.items()]
    table([f"{len(paths)} recordings", "DNSMOS OVRL", "P.808", "similarity to itself"], rows)


if __name__ == "__main__":
    main()
