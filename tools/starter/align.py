"""Step 2: recorded prompts of real voices, and the phones of the English ones.

Reads Debian's asterisk-core-sounds packages. The transcripts of the English
prompts (lines ``name: text``) let pocketsphinx align the phones; the other
languages have no labels, and train only the invariance to the speaker.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from modules.common.cli import entry_point, make_parser
from modules.common.progress import progress_bar
from tools.starter import phones
from tools.starter.generate import RATE, n_units, write_clip

SOUNDS = Path("/usr/share/asterisk/sounds")


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Decode and align; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.align")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--transcripts", type=Path, required=True, help="core-sounds-en.txt of asterisk")
    parser.add_argument("--most", type=int, help="prompts of each language (default: all)")
    args = parser.parse_args(argv)

    lines = args.transcripts.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith(";"))
    texts = {name: text for name, colon, text in pairs if colon}
    n_aligned = 0
    for folder in sorted(SOUNDS.iterdir()):
        if folder.is_symlink():  # another name of one of these
            continue
        for path in progress_bar(sorted(folder.rglob("*.g722"))[: args.most], desc=folder.name, unit="clip"):
            if "silence" in path.parts:
                continue
            audio = _decoded(path)
            if len(audio) < RATE // 4:
                continue
            name = str(path.relative_to(folder).with_suffix(""))
            labelled = folder.name.startswith("en_") and name in texts
            found = aligned(audio, texts[name]) if labelled else None
            classes = None if found is None else phones.per_unit(*found, n_units(audio))
            n_aligned += classes is not None
            write_clip(args.work / "speech" / folder.name / f"{name.replace('/', '-')}.wav", audio, classes)
    print(f"{n_aligned} of {len(texts)} English prompts aligned")
    return 0


def aligned(audio: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray] | None:
    """End in seconds and class of every phone of ``audio`` (T,) at 16 kHz, or None if the text does not fit.

    The text is English; a word that the dictionary lacks does not fit.
    """
    decoder = _load_decoder()
    words = re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split()
    words = [word.strip("'") if decoder.lookup_word(word) is None else word for word in words]
    if not words or any(not word or decoder.lookup_word(word) is None for word in words):
        return None
    samples = (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(" ".join(words))
        _run(decoder, samples)
        if decoder.hyp() is None:
            return None
        decoder.set_alignment()
        _run(decoder, samples)
        segments = [phone for word in decoder.get_alignment() for phone in word]
    except RuntimeError:
        return None
    ends = np.array([phone.start + phone.duration for phone in segments]) / 100
    return ends, np.array([phones.of_arpabet(phone.name) for phone in segments])


@cache
def _load_decoder() -> Any:
    import pocketsphinx

    return pocketsphinx.Decoder(samprate=RATE, bestpath=False, lm=None, loglevel="FATAL")


def _run(decoder: Any, samples: bytes) -> None:
    decoder.reinit_feat()  # or the noise estimate of the previous clip is subtracted from this one
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()


def _decoded(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
    return np.frombuffer(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout, np.float32)


if __name__ == "__main__":
    sys.exit(main())
