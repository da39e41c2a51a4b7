"""How near a conversion is to the target voice, and how clean it sounds.

    make quality RESULT=<converted song> TARGET=<folder of the voice> SOURCE=<song>

Similarity is the cosine of Resemblyzer's embeddings: of the result to the mean
of the target's recordings, and to the source. DNSMOS (P.835 OVRL, and P.808)
guesses at a listener's score of 1 to 5; it was made for noisy speech, not for
singing. Both come from requirements-quality.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.measure import table
from evaluation.evaluators.naturalness import dnsmos
from evaluation.evaluators.similarity import cosine, embed, embed_voice
from modules.dsp.audio import find_audio, read_audio


def main() -> None:
    """Print one line for each result, and one for the source as it is."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("results", nargs="+", type=Path, help="converted songs")
    parser.add_argument("--target", required=True, type=Path, help="folder with recordings of the voice")
    parser.add_argument("--source", required=True, type=Path, help="the song before conversion")
    args = parser.parse_args()
    target, source = embed_voice(find_audio(args.target)), embed(*read_audio(args.source))
    rows = []
    for path in [*args.results, args.source]:
        audio, rate = read_audio(path)
        voice, scores = embed(audio, rate), dnsmos(audio, rate)
        similarities = cosine(voice, target), cosine(voice, source)
        rows.append([path.name, *(f"{x:.3f}" for x in similarities), *(f"{x:.2f}" for x in scores)])
    table(["file", "similarity to target", "to source", "DNSMOS OVRL", "P.808"], rows)


if __name__ == "__main__":
    main()
