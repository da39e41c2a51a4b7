"""Step 6: what the units encode of words and speaker, beside normalised MFCCs, as tables.

Reads WORK/encoder.safetensors, also during training. The voice LJ and the song are
not in the training data.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modules.common.cli import entry_point, make_parser

if TYPE_CHECKING:
    from vencoder.base import SpeechEncoder
    from vencoder.ppg import PpgEncoder

# LJ Speech is in the public domain, and so is Morris's text
LJ_TEXTS = {
    "LJ001-0002": "in being comparatively modern",
    "LJ001-0003": "for although the chinese took impressions from wood blocks engraved in relief for "
    "centuries before the woodcutters of the netherlands by a similar process",
    "LJ001-0004": "produced the block books which were the immediate predecessors of the true printed book",
    "LJ001-0005": "the invention of movable metal letters in the middle of the fifteenth century may "
    "justly be considered as the invention of the art of printing",
    "LJ001-0006": "and it is worth mention in passing that as an example of fine typography",
    "LJ001-0008": "has never been surpassed",
    "LJ001-0009": "printing then for our purpose may be considered as the art of making books by means "
    "of movable types",
    "LJ001-0011": "it is of the first importance that the letter used should be fine in form",
    "LJ001-0012": "especially as no more time is occupied or cost incurred in casting setting or "
    "printing beautiful letters",
    "LJ001-0013": "than in the same operations with ugly ones",
    "LJ001-0014": "and it was a matter of course that in the middle ages when the craftsmen took care "
    "that beautiful form should always be a part of their productions whatever they were",
}


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.evaluate")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--lj", type=Path, required=True, help="folder with clips of LJ Speech (LJ001-*.wav)")
    parser.add_argument("--song", type=Path, required=True, help="song")
    args = parser.parse_args(argv)
    import torch

    from tools.starter import probe, write
    from vencoder import ENCODERS

    torch.set_num_threads(1)
    weights = args.work / "evaluated.safetensors"
    write.main([str(args.work), "--output", str(weights)])
    starter = ENCODERS.build("ppg-starter", "cpu", weights=weights)
    built = {"mfcc": ENCODERS.build("mfcc", "cpu"), "ppg-starter": starter}
    encoders = {name: partial(_encode, encoder) for name, encoder in built.items()}
    lj = [_read(path) for path in sorted(args.lj.glob("*.wav"))]
    materials = {"LJ": lj[:6], "song": [_read(args.song)]}

    print("\nsame words, other voice: cosine, and share of matches within 60 ms")
    print(f"{'':12} {'':6}" + "".join(f"{name:>18}" for name in probe.CHANGES))
    for name, encode in encoders.items():
        for material, clips in materials.items():
            row = probe.same_words(encode, clips)
            cells = "".join(f"{cosine:>10.3f} ({found:.2f}) " for cosine, found in row.values())
            print(f"{name:12} {material:6}{cells}", flush=True)

    speakers = _speakers(args.work / "speech") | {"LJ": lj[:16]}
    chance = 1 / len(speakers)
    print(f"\nlinear probe: accuracy of the speaker of a frame, of {len(speakers)}; chance {chance:.3f}")
    for name, encode in encoders.items():
        print(f"{name:12} {probe.speaker_found(encode, speakers):.3f}", flush=True)

    print("\nphones, against pocketsphinx's alignment")
    hit, silent = _phones(args, starter)
    print(f"{'LJ':12} {hit.mean():.3f}, without silence {hit[~silent].mean():.3f} ({len(hit)} frames)")

    audio = np.concatenate(lj)[: 60 * 16000]
    began = time.perf_counter()
    encoders["ppg-starter"](audio)
    print(f"\n{len(audio) / 16000 / (time.perf_counter() - began):.0f} times real time on one core")
    return 0


def _encode(encoder: SpeechEncoder, audio: np.ndarray) -> np.ndarray:
    import torch

    return encoder.encode(torch.from_numpy(audio)).numpy()


def _read(path: Path) -> np.ndarray:
    from modules.dsp.audio import read_audio

    return read_audio(path, 16000)[0]


def _speakers(folder: Path) -> dict[str, list[np.ndarray]]:
    """16 stretches of about 6 s of every recorded voice and of those built from recordings."""
    result = {}
    for speaker in sorted(folder.iterdir()):
        if speaker.name.startswith(("espeak", "kokoro", "held")):
            continue
        paths = sorted(speaker.glob("*.wav"))[-160:]
        groups = np.array_split(np.arange(len(paths)), 16)
        result[speaker.name] = [
            np.concatenate([_read(paths[index]) for index in group[:3]])[: 6 * 16000]
            for group in groups
            if len(group)
        ]
    return result


def _phones(args: argparse.Namespace, encoder: PpgEncoder) -> tuple[np.ndarray, np.ndarray]:
    """Whether the phone of each frame of LJ is found, and whether it is silence."""
    import torch

    from modules.checkpoint import read_weights
    from tools.starter.align import aligned
    from tools.starter.phones import PHONES, per_unit
    from vencoder.ppg import pad_frames, relative_mel

    state = read_weights(args.work / "encoder.safetensors")
    head = torch.nn.Linear(encoder.ssl_dim, 3 * len(PHONES))
    head.load_state_dict({"weight": state["phones.weight"], "bias": state["phones.bias"]})
    hits, silent = [], []
    for name, text in LJ_TEXTS.items():
        path = args.lj / f"{name}.wav"
        if not path.exists() or (found := aligned(audio := _read(path), text)) is None:
            continue
        with torch.no_grad():
            mel, _ = relative_mel(encoder.spectrum(pad_frames(torch.from_numpy(audio))[None]))
            logits = head(encoder.network(mel))[0]
        guess = logits.split(len(PHONES), -1)[1].argmax(-1).numpy()
        known = per_unit(*found, len(guess))
        hits.append(guess == known)
        silent.append(known == 0)
    return np.concatenate(hits), np.concatenate(silent)


if __name__ == "__main__":
    sys.exit(main())
