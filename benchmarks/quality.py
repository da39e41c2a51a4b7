"""How near a conversion is to the target voice, and how clean it sounds.

    make quality RESULT=<converted song> TARGET=<folder of the voice> SOURCE=<song>

Similarity is the cosine of Resemblyzer's embeddings: of the result to the mean
of the target's recordings, and to the source. DNSMOS (P.835 OVRL, and P.808)
guesses at a listener's score of 1 to 5; it was made for noisy speech, not for
singing. Both come from requirements-quality.txt.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np

from benchmarks.measure import table
from modules.audio import find_audio, read_audio, resample

_RATE = 16000


def main() -> None:
    """Print one line for each result, and one for the source as it is."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("results", nargs="+", type=Path, help="converted songs")
    parser.add_argument("--target", required=True, type=Path, help="folder with recordings of the voice")
    parser.add_argument("--source", required=True, type=Path, help="the song before conversion")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # both packages warn about their own dependencies
    from resemblyzer import VoiceEncoder, preprocess_wav
    from speechmos import dnsmos

    encoder = VoiceEncoder("cpu", verbose=False)

    def embed(path: Path) -> np.ndarray:
        return encoder.embed_utterance(preprocess_wav(path))

    target = np.mean([embed(path) for path in find_audio(args.target)], axis=0)
    target /= np.linalg.norm(target)
    source = embed(args.source)
    rows = []
    for path in [*args.results, args.source]:
        voice = embed(path)
        audio, rate = read_audio(path)
        score = dnsmos.run(np.clip(resample(audio, rate, _RATE), -1, 1), _RATE)
        rows.append(
            [
                path.name,
                f"{voice @ target:.3f}",
                f"{voice @ source:.3f}",
                f"{score['ovrl_mos']:.2f}",
                f"{score['p808_mos']:.2f}",
            ]
        )
    table(["file", "similarity to target", "to source", "DNSMOS OVRL", "P.808"], rows)


if __name__ == "__main__":
    main()
