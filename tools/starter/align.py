"""Step 2: recorded prompts, real voices, and where the English ones' phones are.

Reads Debian's asterisk-core-sounds packages. The transcripts of the English
prompts (lines ``name: text``) let pocketsphinx find the phones; the other
languages have no labels, and teach the network only that a voice is no word.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point
from tools.starter import phones
from tools.starter.generate import RATE, write_clip

SOUNDS = Path("/usr/share/asterisk/sounds")


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.starter.align")
    parser.add_argument("work", type=Path, help="folder for everything that is made")
    parser.add_argument("--transcripts", type=Path, required=True, help="core-sounds-en.txt of asterisk")
    parser.add_argument("--most", type=int, help="prompts of each language (default: all)")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Decode and align; return the exit code."""
    args = get_parser().parse_args(argv)
    from tqdm import tqdm

    lines = args.transcripts.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith(";"))
    texts = {name: text for name, colon, text in pairs if colon}
    n_aligned = 0
    folders = [
        folder for folder in sorted(SOUNDS.iterdir()) if not folder.is_symlink()
    ]  # other names of these
    for folder in folders:
        for path in tqdm(sorted(folder.rglob("*.g722"))[: args.most], desc=folder.name, unit="clip"):
            if "silence" in path.parts:
                continue
            audio = _decoded(path)
            if len(audio) < RATE // 4:
                continue
            classes = None
            name = str(path.relative_to(folder).with_suffix(""))
            if folder.name.startswith("en_") and name in texts:
                found = aligned(audio, texts[name])
                if found is not None:
                    classes = phones.per_unit(*found, round(len(audio) / 320))
                    n_aligned += 1
            write_clip(args.work / "speech" / folder.name / f"{name.replace('/', '-')}.wav", audio, classes)
    print(f"{n_aligned} of {len(texts)} English prompts aligned")
    return 0


def aligned(audio: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the end in seconds and the class of every phone, or None if the text does not fit.

    Args:
        audio: (T,) at 16 kHz.
        text: What is said in it, in English. A word that the dictionary lacks fits nothing.
    """
    import pocketsphinx

    global _decoder
    if _decoder is None:
        _decoder = pocketsphinx.Decoder(samprate=RATE, bestpath=False, lm=None, loglevel="FATAL")
    words = re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split()
    words = [word.strip("'") if _decoder.lookup_word(word) is None else word for word in words]
    if not words or any(not word or _decoder.lookup_word(word) is None for word in words):
        return None
    samples = (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()
    try:
        _decoder.set_align_text(" ".join(words))
        _run(_decoder, samples)
        if _decoder.hyp() is None:
            return None
        _decoder.set_alignment()
        _run(_decoder, samples)
        segments = [
            (phone.start + phone.duration, phone.name) for word in _decoder.get_alignment() for phone in word
        ]
    except RuntimeError:
        return None
    ends = np.array([end for end, _ in segments]) / 100
    return ends, np.array([phones.of_arpabet(name) for _, name in segments])


_decoder = None


def _run(decoder, samples: bytes) -> None:  # type: ignore[no-untyped-def]
    decoder.reinit_feat()  # or the noise of the clip before is taken off this one
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()


def _decoded(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
    return np.frombuffer(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout, np.float32)


if __name__ == "__main__":
    import sys

    sys.exit(main())
