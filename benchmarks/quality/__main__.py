"""Scores of a conversion: likeness to the target voice, sound, and words.

    make quality RESULT=<converted song> TARGET=<folder of the voice> SOURCE=<song>

The evaluators are those of evaluate.py (docs/evaluation.md), for files of any origin.
In brackets the same of the source; of the words against the source, of its WORLD
resynthesis. All come from requirements-quality.txt.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import table
from benchmarks.quality.scoring import FileScorer, SourceFile
from evaluation.conversions import EvalScore
from evaluation.text import read_text
from modules.common.cli import make_parser
from modules.common.metrics import EVALUATION_METRICS
from modules.dsp.audio import find_audio


def main() -> None:
    """Print one line for each result."""
    parser = make_parser(__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="converted songs")
    parser.add_argument("--target", required=True, type=Path, help="folder with recordings of the voice")
    parser.add_argument("--source", required=True, type=Path, help="the song before conversion")
    parser.add_argument("--key", type=float, default=0.0, help="semitones between them (%(default)g)")
    parser.add_argument("--text", default="", help="its words, or a .txt file of them")
    parser.add_argument("--language", default="", help="of its words (detected)")
    args = parser.parse_args()
    scorer = FileScorer(find_audio(args.target))
    source = SourceFile(args.source, read_text(args.text), args.language)
    found = {path.name: scorer.score(path, source, args.key) for path in args.results}
    names = [
        name
        for name in EVALUATION_METRICS
        if any(s[name].value == s[name].value for s in found.values() if name in s)
    ]
    rows = [[file, *(cell(name, scores[name]) for name in names)] for file, scores in found.items()]
    table(["file", *(EVALUATION_METRICS[name].label for name in names)], rows)


def cell(name: str, score: EvalScore) -> str:
    """A score, and its reference in brackets."""
    show = EVALUATION_METRICS[name].show
    return show(score.value) + (f" ({show(score.reference)})" if score.reference == score.reference else "")


if __name__ == "__main__":
    main()
