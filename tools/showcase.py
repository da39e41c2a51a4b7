"""Copy the results of `make demo` into the documents: its picture, the song, and its conversion.

    make demo
    python -m tools.showcase

writes docs/pictures/demo.png, docs/sounds/demo-source.mp3 and docs/sounds/demo-result.mp3,
which the READMEs show. Only the demo of the synthetic singer is accepted: its
recordings are the project's own, and may be distributed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser

ROOT = Path(__file__).resolve().parents[1]
OURS = "the synthetic singer"  # what demo.py writes into origin.txt of its own recordings
WRITTEN = ("pictures/demo.png", "sounds/demo-source.mp3", "sounds/demo-result.mp3")
MAX_BYTES = 300_000  # of one sound: it is part of every clone


def find_result(demo: Path) -> Path:
    """Newest song that has a picture beside it.

    Raises:
        AudioError: There is none, or it was made of recordings that are not the project's own.
    """
    from modules.common.errors import AudioError

    note = demo / "origin.txt"
    origin = note.read_text(encoding="utf-8") if note.is_file() else "nothing"
    if origin != OURS:
        raise AudioError(f"{demo} was made of {origin}, not of {OURS}; run make demo without a DATASET")
    songs = [song for song in demo.glob("results/*.wav") if song.with_suffix(".png").is_file()]
    if not songs:
        raise AudioError(f"{demo / 'results'} holds no song with a picture; run make demo to its end")
    return max(songs, key=lambda song: song.stat().st_mtime)


def write_mp3(source: Path, path: Path) -> None:
    """Encode a sound file with its tag; raises AudioError if it becomes too large."""
    import soundfile

    from modules.common.errors import AudioError
    from modules.common.files import replacing
    from modules.dsp.audio import read_audio

    audio, rate = read_audio(source)
    with soundfile.SoundFile(source) as file:
        comment = file.comment  # of a conversion: that it is one
    with replacing(path) as temporary:
        quality = {"compression_level": 0.5, "bitrate_mode": "VARIABLE"}
        with soundfile.SoundFile(temporary, "w", rate, 1, format="MP3", **quality) as file:
            if comment:
                file.comment = comment
            file.write(audio)
        n_bytes = temporary.stat().st_size
        if n_bytes > MAX_BYTES:
            raise AudioError(f"{source} becomes {n_bytes / 1e3:.0f} kB, more than {MAX_BYTES / 1e3:.0f}")


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Copy and encode; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.showcase")
    demo = ROOT / "demo/synthetic"
    parser.add_argument("--demo", type=Path, default=demo, help="workspace of the demo (demo/synthetic)")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="output folder (docs)")
    args = parser.parse_args(argv)
    from modules.common.files import replacing

    result = find_result(args.demo)
    picture, *sounds = (args.docs / name for name in WRITTEN)
    with replacing(picture) as temporary:
        temporary.write_bytes(result.with_suffix(".png").read_bytes())
    for source, path in zip((args.demo / "raw/song.wav", result), sounds, strict=True):
        write_mp3(source, path)
    for path in (picture, *sounds):
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
