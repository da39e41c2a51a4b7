"""Step 2: recordings of real voices from Debian, and the phones of those that have labels or words.

asterisk-core-sounds (five languages): the transcripts of the English prompts (lines
``name: text``) let pocketsphinx find the phones. festvox-ru has the times of its phones.
gcin-voice says Mandarin syllables. What has no labels trains the invariance to the speaker.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from modules.common.progress import progress_bar
from modules.dsp.audio import read_audio
from tools.starter import phones
from tools.starter.align import RATE, aligned
from tools.starter.speech.files import finished_folder, n_units, write_clip

SHORTEST = 0.25  # s
_ASTERISK = "asterisk/sounds"
_RUSSIAN = "festival/voices/russian/msu_ru_nsh_clunits"
_MANDARIN = "gcin-voice/ogg"
Clip = tuple[str, np.ndarray, int, np.ndarray | None]  # name, audio (T,), its rate, classes (U,)
# festvox-ru's names of phones; other double letters are soft consonants, which are folded
_RUSSIAN_PHONES = dict(
    pair.split(":")
    for pair in """
pau:sil a:ə aa:a ae:ɪ ay:ə e:ɛ ee:ɛ ii:i oo:o uu:u ur:ʊ y:ɨ yy:ɨ c:ʦ ch:ʨ g:ɡ gg:ɡ h:x hh:ç ll:ʎ nn:ɲ
sch:ɕ sh:ʂ zh:ʒ
""".split()
)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Read and label; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.recordings")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--transcripts", type=Path, required=True, help="core-sounds-en.txt of asterisk")
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="where the packages are unpacked (%(default)s)"
    )
    parser.add_argument("--most", type=int, help="clips of each voice (default: all)")
    args = parser.parse_args(argv)
    share = args.root / "usr/share"
    for voice, clips in _voices(share, args.transcripts).items():
        folder = args.work / "speech" / voice
        if folder.is_dir():
            continue
        n_labelled = n_all = 0
        with finished_folder(folder) as scratch:
            scratch.mkdir()
            for name, audio, rate, classes in progress_bar(islice(clips, args.most), desc=voice, unit="clip"):
                if len(audio) >= SHORTEST * rate:
                    write_clip(scratch / f"{name}-spoken.wav", audio, rate, classes)
                    n_labelled += classes is not None
                    n_all += 1
        print(f"{voice}: {n_labelled} of {n_all} clips labelled")
    return 0


def _voices(share: Path, transcripts: Path) -> dict[str, Iterator[Clip]]:
    """Clips of every voice, by the name of its folder."""
    folders = sorted(path for path in (share / _ASTERISK).glob("*") if not path.is_symlink())
    # a link is another name of one of these
    voices = {f"asterisk-{path.name[:2]}-{path.name[6:]}": _prompts(path, transcripts) for path in folders}
    if (share / _RUSSIAN).is_dir():
        voices["festvox-ru-nsh"] = _russian(share / _RUSSIAN)
    if (share / _MANDARIN).is_dir():
        voices["gcin-zh-ChuLo"] = _mandarin(share / _MANDARIN)
    return voices


def _prompts(folder: Path, transcripts: Path) -> Iterator[Clip]:
    lines = transcripts.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith(";"))
    texts = {name: text for name, colon, text in pairs if colon}
    for path in sorted(folder.rglob("*.g722")):
        if "silence" in path.parts:
            continue
        audio = _decoded(path)
        name = str(path.relative_to(folder).with_suffix(""))
        known = folder.name.startswith("en_") and name in texts
        found = aligned(audio, texts[name]) if known else None
        classes = None if found is None else phones.per_unit(*found, n_units(len(audio) / RATE))
        yield name.replace("/", "-"), audio, RATE, classes


def _decoded(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
    return np.frombuffer(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout, np.float32)


def _russian(folder: Path) -> Iterator[Clip]:
    for path in sorted((folder / "wav").glob("*.wav")):
        audio, rate = read_audio(path)
        lines = (folder / "lab" / f"{path.stem}.lab").read_text(encoding="ascii").splitlines()
        rows = [line.split() for line in lines if len(line.split()) == 3]  # end in s, a number, phone
        ends = np.array([float(row[0]) for row in rows])
        classes = np.array([of_russian(row[2]) for row in rows])
        yield path.stem, audio, rate, phones.per_unit(ends, classes, n_units(len(audio) / rate))


def of_russian(name: str) -> int:
    """Class of a phone as festvox-ru calls it; soft consonants are folded with hard ones."""
    name = _RUSSIAN_PHONES.get(name, name)
    return phones.INDEX[name if name in phones.INDEX else name[0]]


def _mandarin(folder: Path) -> Iterator[Clip]:
    for path in sorted(folder.glob("*/5.ogg")):  # those that are CC BY
        yield path.parent.name, *read_audio(path), None


if __name__ == "__main__":
    sys.exit(main())
