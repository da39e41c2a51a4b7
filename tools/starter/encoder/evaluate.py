"""Step 4: what the units keep of words and speaker, beside other encoders, as tables.

Reads WORK/encoder.safetensors, also during training. The voice LJ and the song are
not in the training data. Phones are those that pocketsphinx aligns; a linear head learns them
on seven minutes of one voice of asterisk, and is tested on LJ.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from tools.starter.encoder import probe
from tools.starter.encoder.encodings import PpgUnits, Recordings, build_encodings, read

_HEAD_SECONDS = 420.0
_LOOK_AHEADS = (0.0, 0.1, 0.2, 0.4, 0.9)  # s


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.encoder.evaluate")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--lj", type=Path, required=True, help="folder with clips of LJ Speech (LJ001-*.wav)")
    parser.add_argument("--song", type=Path, help="song, for the cosines")
    parser.add_argument(
        "--encoders", nargs="+", help="of mfcc ppg-starter ppg-starter2 teacher (default: all)"
    )
    args = parser.parse_args(argv)
    import torch

    torch.set_num_threads(1)
    recordings = Recordings(args.work / "speech", args.lj, _HEAD_SECONDS)
    encodings = build_encodings(args.work, args.encoders)

    print(f"phones of {len(recordings.test)} clips of LJ by a linear head (without silence); the speaker "
          f"by a linear probe, of {len(recordings.speakers)} voices in four languages, chance "
          f"{1 / len(recordings.speakers):.3f}, and of {len(recordings.english)} in English, chance "
          f"{1 / len(recordings.english):.3f}")  # fmt: skip
    alone = [recordings.phones, recordings.english_phones]
    if all(alone):
        found = "".join(f"{probe.speaker_in_phones(voices):>10.3f}" for voices in alone)
        print(f"{'phones alone':30}{found}")
    for name, encode in encodings.items():
        head = probe.phone_head(encode, recordings.training)
        hit, spoken = probe.phones_by(head, encode, recordings.test)
        speakers = [
            probe.speaker_found(encode, voices) for voices in (recordings.speakers, recordings.english)
        ]
        print(
            f"{name:14}{hit:>8.3f} ({spoken:.3f})" + "".join(f"{found:>10.3f}" for found in speakers),
            flush=True,
        )
        if isinstance(encode, PpgUnits):
            _look_aheads(encode, head, recordings)

    lj = [audio for audio, _ in recordings.test][:4]
    materials = {"LJ": lj} | ({"song": [read(args.song)]} if args.song else {})
    print("\nsame words, other voice: cosine, and share of matches within 60 ms")
    print(f"{'':14}{'':6}" + "".join(f"{name:>18}" for name in probe.CHANGES))
    for name, encode in encodings.items():
        for material, clips in materials.items():
            row = probe.same_words(encode, clips)
            cells = "".join(f"{cosine:>10.3f} ({found:.2f}) " for cosine, found in row.values())
            print(f"{name:14}{material:6}{cells}", flush=True)

    audio = np.concatenate([audio for audio, _ in recordings.test])
    print("\ntimes real time on one core")
    for name, encode in encodings.items():
        began = time.perf_counter()
        encode(audio)
        print(f"{name:14}{len(audio) / 16000 / (time.perf_counter() - began):>8.0f}", flush=True)
    return 0


def _look_aheads(encode: PpgUnits, head: probe.LinearClassifier, recordings: Recordings) -> None:
    """Print what units cost that are computed with little of the future, with the head of whole clips."""
    for seconds in _LOOK_AHEADS:
        ahead = partial(encode.ahead, seconds)
        hit, spoken = probe.phones_by(head, ahead, recordings.test)
        cosine = probe.cosine(encode, ahead, [audio for audio, _ in recordings.test])
        print(f"{f'  {seconds:.1f} s ahead':14}{hit:>8.3f} ({spoken:.3f}), cosine {cosine:.3f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
