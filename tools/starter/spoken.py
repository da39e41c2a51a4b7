"""Sentences and their words in a held-out voice, as input of evaluate.py --text.

Writes FOLDER/<number>.wav and .txt. The voice is the first of those that
tools.starter.train holds out; the sentences are drawn again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.spoken")
    parser.add_argument("folder", type=Path, help="output folder")
    parser.add_argument("--styles", type=Path, required=True, help="folder package/voices of kokoro-js")
    parser.add_argument("--sentences", type=int, default=10, help="number of sentences (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="as given to tools.starter.kokoro")
    args = parser.parse_args(argv)
    import soundfile

    from modules.common.files import write_text
    from tools.starter.kokoro import KOKORO_RATE, KokoroVoice, find_styles, load_kokoro, sentences

    voice = KokoroVoice.between(find_styles(args.styles), np.random.default_rng(args.seed))
    texts = [text for text in sentences() if len(text.split()) >= 7]
    drawn = np.random.default_rng(args.seed + 1_000_000).choice(len(texts), args.sentences, replace=False)
    args.folder.mkdir(parents=True, exist_ok=True)
    for number, index in enumerate(drawn):
        audio = load_kokoro().say(texts[index], voice)
        soundfile.write(args.folder / f"{number:02d}.wav", audio, KOKORO_RATE)
        write_text(args.folder / f"{number:02d}.txt", texts[index])
    return 0


if __name__ == "__main__":
    sys.exit(main())
