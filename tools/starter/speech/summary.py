"""What lies in WORK/speech: hours by source and language, and how many clips and labels are faulty."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from modules.common.progress import progress_bar
from tools.starter.phones import INDEX, PHONES, SILENCE, VOWELS

_QUIET = -40.0  # dB below the loudest units of a clip


@dataclass
class Total:
    """Sums over clips."""

    voices: int = 0
    spoken: float = 0.0  # s
    sung: float = 0.0  # s
    labelled: float = 0.0  # s
    clipped: int = 0  # clips that reach full scale
    silent: int = 0  # clips under -50 dB
    vowels: int = 0  # units
    quiet_vowels: int = 0
    pauses: int = 0  # units of silence
    loud_pauses: int = 0

    def line(self, name: str) -> str:
        """A row of a Markdown table."""
        hours = (self.spoken + self.sung) / 3600
        share = self.sung / max(1e-9, self.spoken + self.sung)
        return (
            f"| {name} | {self.voices} | {hours:.2f} | {share:.2f} | {self.labelled / 3600:.2f} "
            f"| {self.clipped} | {self.silent} | {self.quiet_vowels / max(1, self.vowels):.3f} "
            f"| {self.loud_pauses / max(1, self.pauses):.3f} |"
        )


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.speech.summary")
    parser.add_argument("work", type=Path, help="folder for all results")
    args = parser.parse_args(argv)
    totals: dict[str, Total] = defaultdict(Total)
    seen = np.zeros(len(PHONES), np.int64)
    for folder in progress_bar(sorted((args.work / "speech").iterdir()), desc="voices", unit="voice"):
        source, language, _ = folder.name.split("-", 2)
        rows = [totals[name] for name in (f"{source} {language}", source, "all")]
        for row in rows:
            row.voices += 1
        for path in sorted(folder.glob("*.wav")):
            seen += _add(path, rows)
    print("| | voices | hours | sung | labelled | clipped | silent | quiet in vowels | sound in pauses |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in sorted(totals):
        print(totals[name].line(name))
    rare = sorted(zip(seen / 50 / 60, PHONES, strict=True))[:8]
    print("rarest, in minutes:", ", ".join(f"{phone} {minutes:.1f}" for minutes, phone in rare))
    return 0


def _add(path: Path, rows: Sequence[Total]) -> np.ndarray:
    """Add one clip to the rows; return how often it has each phone."""
    import soundfile

    audio, rate = soundfile.read(path, dtype="float32")
    kind, seconds = path.stem.rsplit("-", 1)[1], len(audio) / rate
    labels = path.with_suffix(".npy")
    classes = np.load(labels, allow_pickle=False) if labels.exists() else np.zeros(0, np.int16)
    step = rate // 50
    count = min(len(classes), len(audio) // step)
    level = 10 * np.log10(np.square(audio[: count * step].reshape(count, step)).mean(1) + 1e-12)
    quiet = level < (np.percentile(level, 95) if count else 0.0) + _QUIET
    classes = classes[:count]
    vowel = np.isin(classes, [INDEX[name] for name in VOWELS])
    pause = classes == INDEX[SILENCE]
    for row in rows:
        setattr(row, kind, getattr(row, kind) + seconds)
        row.labelled += seconds if labels.exists() else 0.0
        row.clipped += bool(np.abs(audio).max() >= 0.999)
        row.silent += bool(np.square(audio).mean() < 1e-5)
        row.vowels += int(vowel.sum())
        row.quiet_vowels += int((vowel & quiet).sum())
        row.pauses += int(pause.sum())
        row.loud_pauses += int((pause & ~quiet).sum())
    return np.bincount(classes[classes >= 0], minlength=len(PHONES))


if __name__ == "__main__":
    sys.exit(main())
