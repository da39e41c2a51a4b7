"""Similarity of a conversion to the target voice, and its estimated quality.

    make quality RESULT=<converted song> TARGET=<folder of the voice> SOURCE=<song>

Similarity is the cosine of Resemblyzer's embeddings: of the result to the mean
of the target's recordings, and to the source. DNSMOS (P.835 OVRL, and P.808)
estimates a listener's score of 1 to 5; it was trained on noisy speech, not on
singing. Both come from requirements-quality.txt.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import table
from evaluation.evaluators.naturalness import dnsmos
from evaluation.evaluators.similarity import cosine, embed, embed_voice
from modules.common.cli import make_parser
from modules.dsp.audio import find_audio, read_audio


def main() -> None:
    """Print one line for each result, and one for the source."""
    parser = make_parser(__doc__)
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
