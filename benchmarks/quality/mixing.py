r"""Similarity of a song to two voices over time, for a mix that changes from one to the other.

    python -m benchmarks.quality.mixing results/song.flac \
        --from_voice dataset/44k/anna --to_voice dataset/44k/bob

Similarity is the cosine between Resemblyzer's embedding of a few seconds of the
song and the mean of those of a voice's recordings, in windows of equal length:
long windows score higher than short ones. Silences are skipped. It prints a table
and the trends, and draws both; with --source the unconverted song is measured too.
Resemblyzer is one of requirements-quality.txt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import table
from evaluation.evaluators.similarity import load_encoder
from modules.common.cli import make_parser
from modules.common.files import replacing
from modules.dsp.audio import find_audio, read_audio, resample

RATE = 16000  # Hz, of Resemblyzer
MIN_RMS = 10 ** (-50 / 20)  # windows below are silence
MAX_WINDOWS = 100  # of a voice, enough for its mean


@dataclass(frozen=True)
class Curve:
    """Similarity over time."""

    seconds: np.ndarray  # (W,), centres of the windows
    to_first: np.ndarray  # (W,), cosine to the first voice of the mix
    to_last: np.ndarray  # (W,), cosine to its last voice

    def trends(self) -> tuple[float, float]:
        """Change of either similarity from start to end, by linear regression."""
        length = self.seconds.max() - self.seconds.min()
        first, last = (np.polyfit(self.seconds, values, 1)[0] for values in (self.to_first, self.to_last))
        return float(first * length), float(last * length)


def embed(audio: np.ndarray) -> np.ndarray:
    """Embedding, of length 1, of all of ``audio`` (T,) at 16 kHz."""
    encoder = load_encoder()
    from resemblyzer import normalize_volume

    return encoder.embed_utterance(normalize_volume(audio, -30, increase_only=True))


def measure(path: Path, first: np.ndarray, last: np.ndarray, window: float, hop: float) -> Curve:
    """Similarity of a song to two voices, given by their embeddings."""
    found = [(time, embed(part)) for time, part in _sounding(path, window, hop)]
    if len(found) < 2:
        raise SystemExit(f"{path} is too short, or too soft, for two windows of {window:g} s")
    voices = np.stack([voice for _, voice in found])
    return Curve(np.array([time for time, _ in found]), voices @ first, voices @ last)


def voice_of(folder: Path, window: float) -> np.ndarray:
    """Mean embedding of the recordings in ``folder``, of length 1."""
    parts = [part for path in find_audio(folder) for _, part in _sounding(path, window, window)]
    if not parts:
        raise SystemExit(f"{folder} holds no recording of {window:g} s")
    chosen = np.linspace(0, len(parts) - 1, min(len(parts), MAX_WINDOWS)).astype(int)
    mean = np.mean([embed(parts[i]) for i in chosen], axis=0)
    return mean / np.linalg.norm(mean)


def windows(audio: np.ndarray, window: float, hop: float) -> list[tuple[float, np.ndarray]]:
    """(second of its centre, samples) of each window of ``audio`` (T,) at 16 kHz."""
    size, step = round(window * RATE), round(hop * RATE)
    starts = range(0, len(audio) - size + 1, step)
    return [((start + size / 2) / RATE, audio[start : start + size]) for start in starts]


def _sounding(path: Path, window: float, hop: float) -> list[tuple[float, np.ndarray]]:
    """Windows of a file that are not silent."""
    audio, rate = read_audio(path)
    found = windows(resample(audio, rate, RATE), window, hop)
    return [(time, part) for time, part in found if np.sqrt(np.mean(part.astype(float) ** 2)) > MIN_RMS]


def draw(path: Path, curves: dict[str, Curve], names: tuple[str, str]) -> None:
    """Draw the curves of every file, one below the other, with their trends."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6 * len(curves)), layout="constrained")
    axes = figure.subplots(len(curves), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (title, curve) in zip(axes, curves.items(), strict=True):
        for values, name, colour in zip((curve.to_first, curve.to_last), names, ("C0", "C1"), strict=True):
            axis.plot(curve.seconds, values, ".-", color=colour, linewidth=1, label=f"to {name}")
            trend = np.polyval(np.polyfit(curve.seconds, values, 1), curve.seconds)
            axis.plot(curve.seconds, trend, color=colour, linewidth=4, alpha=0.3)
        axis.set(title=title, ylabel="cosine of embeddings")
        axis.grid(alpha=0.3)
        axis.legend()
    axes[-1].set_xlabel("seconds")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def main(argv: list[str] | None = None) -> None:
    """Print the table and the trends, and write the picture."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("result", type=Path, help="a song that was converted with -usm")
    add("--from_voice", required=True, type=Path, metavar="FOLDER", help="recordings of the first voice")
    add("--to_voice", required=True, type=Path, metavar="FOLDER", help="recordings of the last voice")
    add("--source", type=Path, metavar="FILE", help="the song before conversion")
    add("--window", type=float, default=4.0, help="seconds of a window (4)")
    add("--hop", type=float, default=1.0, help="seconds from one window to the next (1)")
    args = parser.parse_args(argv)
    if min(args.window, args.hop) < 0.1:
        parser.error("--window and --hop must be 0.1 s or more")
    first, last = (voice_of(folder, args.window) for folder in (args.from_voice, args.to_voice))
    files = {"result": args.result} | ({"source": args.source} if args.source else {})
    curves = {title: measure(path, first, last, args.window, args.hop) for title, path in files.items()}
    names = (args.from_voice.name, args.to_voice.name)
    print(f"The two voices have a similarity of {first @ last:.3f} to each other.\n")
    for title, curve in curves.items():
        values = zip(curve.seconds, curve.to_first, curve.to_last, strict=True)
        rows = [[f"{t:.1f}", f"{a:.3f}", f"{b:.3f}"] for t, a, b in values]
        table([f"{title}, s", f"to {names[0]}", f"to {names[1]}"], rows)
        fall, rise = curve.trends()
        print(f"\nFrom start to end: {fall:+.3f} to {names[0]}, {rise:+.3f} to {names[1]}.\n")
    picture = args.result.with_name(f"{args.result.stem}_voices.png")
    draw(picture, curves, names)
    print(f"Picture: {picture}")


if __name__ == "__main__":
    main()
