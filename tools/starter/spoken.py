"""Sentences and their words in a held-out voice, as input of evaluate.py --text.

Writes FOLDER/<number>.wav and .txt. The voice is one of those that no training hears; the
sentences are drawn again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from tools.starter.kokoro import HELD, KokoroVoice, read_styles
from tools.starter.speech.letters import letters
from tools.starter.speech.synthesizer import RATE, load_kokoro
from tools.starter.speech.texts import TOPICS, random_sentences, sentences


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.spoken")
    parser.add_argument("folder", type=Path, help="output folder")
    parser.add_argument("--styles", type=Path, required=True, help="folder package/voices of kokoro-js")
    parser.add_argument("--sentences", type=int, default=10, help="number of sentences (%(default)s)")
    parser.add_argument(
        "--voice", default="en-000", choices=HELD, help="begins with its language (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    import soundfile

    from modules.common.files import write_text

    language = args.voice.split("-")[0]
    voice = KokoroVoice.held(read_styles(args.styles), args.voice)
    rng = np.random.default_rng(args.seed + 1_000_000)
    if language in TOPICS:
        known = [text for text in sentences(language) if language != "en" or len(text.split()) >= 7]
        texts = [known[index] for index in rng.choice(len(known), args.sentences, replace=False)]
    else:
        texts = list(islice(random_sentences(rng, language), args.sentences))
    kokoro = load_kokoro()
    args.folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        said = kokoro.known(letters(text, language, voice.british))
        audio = kokoro.say(said, voice.style, kokoro.prosody(said, voice.style))
        soundfile.write(args.folder / f"{number:02d}.wav", audio, RATE)
        write_text(args.folder / f"{number:02d}.txt", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
