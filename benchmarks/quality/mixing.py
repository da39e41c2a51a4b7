"""Does a mix that goes from one voice to another do so? Similarity to both, along the song.

    python -m benchmarks.quality.mixing results/song.flac --from_voice dataset/44k/anna --to_voice
    dataset/44k/bob

Similarity is the cosine between Resemblyzer's embedding of a few seconds of the
song and the mean of those of a voice's recordings, of which as many seconds are
taken at a time: long stretches score higher than short ones. Rests are left
out. It prints a table, the trend of each, and draws both; the file of the
source, with --source, is judged too, to see what comes from the song itself.
Resemblyzer comes from requirements-quality.txt.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import table
from modules.common.files import replacing
from modules.dsp.audio import find_audio, read_audio, resample

_RATE = 16000  # Hz, of the judge
_SOFTEST = 10 ** (-50 / 20)  # RMS; windows that are softer are rests
_CLIPS = 100  # windows of a voice: its mean does not move any more

Embed = Callable[[np.ndarray], np.ndarray]  # audio (T,) at 16 kHz -> unit vector


@dataclass(frozen=True)
class Curve:
    """Similarity along a song.

    Attributes:
        seconds: (W,), middles of the windows.
        to_first: (W,), cosine to the voice that the mix begins with.
        to_last: (W,), cosine to the voice that it ends with.
    """

    seconds: np.ndarray
    to_first: np.ndarray
    to_last: np.ndarray

    def trends(self) -> tuple[float, float]:
        """Return by how much either similarity changes from start to end, on a straight line."""
        length = self.seconds.max() - self.seconds.min()
        return (
            float(np.polyfit(self.seconds, self.to_first, 1)[0] * length),
            float(np.polyfit(self.seconds, self.to_last, 1)[0] * length),
        )


def measure(
    path: Path, first: np.ndarray, last: np.ndarray, embed: Embed, window: float, hop: float
) -> Curve:
    """Return the similarity of a song to two voices, given by their embeddings.

    Raises:
        SystemExit: It has fewer than two windows that are no rests.
    """
    found = [(time, embed(part)) for time, part in windows(_read(path), window, hop) if _loud(part)]
    if len(found) < 2:
        raise SystemExit(f"{path} is too short, or too soft, for two windows of {window:g} s")
    voices = np.stack([voice for _, voice in found])
    return Curve(np.array([time for time, _ in found]), voices @ first, voices @ last)


def voice_of(folder: Path, embed: Embed, window: float) -> np.ndarray:
    """Return the mean embedding of the recordings in ``folder``, of length 1."""
    parts = [
        part for path in find_audio(folder) for _, part in windows(_read(path), window, window) if _loud(part)
    ]
    if not parts:
        raise SystemExit(f"{folder} holds no recording of {window:g} s")
    chosen = np.linspace(0, len(parts) - 1, min(len(parts), _CLIPS)).astype(int)
    mean = np.mean([embed(parts[i]) for i in chosen], axis=0)
    return mean / np.linalg.norm(mean)


def windows(audio: np.ndarray, window: float, hop: float) -> list[tuple[float, np.ndarray]]:
    """Return (second of its middle, samples) of each window of ``audio`` (T,) at 16 kHz."""
    size, step = round(window * _RATE), round(hop * _RATE)
    return [
        ((start + size / 2) / _RATE, audio[start : start + size])
        for start in range(0, len(audio) - size + 1, step)
    ]


def draw(path: Path, curves: dict[str, Curve], names: tuple[str, str]) -> None:
    """Draw the curves of every file, one below the other, with their trends."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6 * len(curves)), layout="constrained")
    axes = figure.subplots(len(curves), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (title, curve) in zip(axes, curves.items(), strict=True):
        for values, name, colour in zip((curve.to_first, curve.to_last), names, ("C0", "C1"), strict=True):
            axis.plot(curve.seconds, values, ".-", color=colour, linewidth=1, label=f"to {name}")
            axis.plot(
                curve.seconds,
                np.polyval(np.polyfit(curve.seconds, values, 1), curve.seconds),
                color=colour,
                linewidth=4,
                alpha=0.3,
            )
        axis.set(title=title, ylabel="cosine of embeddings")
        axis.grid(alpha=0.3)
        axis.legend()
    axes[-1].set_xlabel("seconds")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _read(path: Path) -> np.ndarray:
    audio, rate = read_audio(path)
    return resample(audio, rate, _RATE)


def _loud(part: np.ndarray) -> bool:
    return float(np.sqrt(np.square(part, dtype=np.float64).mean())) > _SOFTEST


def main(argv: list[str] | None = None) -> None:
    """Print the table and the trends, and write the picture."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    add = parser.add_argument
    add("result", type=Path, help="a song that was converted with -usm")
    add("--from_voice", required=True, type=Path, metavar="FOLDER", help="recordings of the first voice")
    add("--to_voice", required=True, type=Path, metavar="FOLDER", help="recordings of the last voice")
    add("--source", type=Path, metavar="FILE", help="the song before conversion")
    add("--window", type=float, default=4.0, help="seconds that are judged at a time (4)")
    add("--hop", type=float, default=1.0, help="seconds from one to the next (1)")
    add("-o", "--output", type=Path, metavar="FILE", help="the picture (default: <result>_voices.png)")
    args = parser.parse_args(argv)
    if min(args.window, args.hop) < 0.1:
        parser.error("--window and --hop must be 0.1 s or more")
    warnings.simplefilter("ignore")  # Resemblyzer warns about its own dependencies
    from resemblyzer import VoiceEncoder, normalize_volume

    encoder = VoiceEncoder("cpu", verbose=False)

    def embed(audio: np.ndarray) -> np.ndarray:
        return encoder.embed_utterance(normalize_volume(audio, -30, increase_only=True))

    first, last = (voice_of(folder, embed, args.window) for folder in (args.from_voice, args.to_voice))
    files = {"result": args.result} | ({"source": args.source} if args.source else {})
    curves = {
        title: measure(path, first, last, embed, args.window, args.hop) for title, path in files.items()
    }
    names = (args.from_voice.name, args.to_voice.name)
    print(f"The two voices have a similarity of {first @ last:.3f} to each other.\n")
    for title, curve in curves.items():
        rows = [
            [f"{t:.1f}", f"{a:.3f}", f"{b:.3f}"]
            for t, a, b in zip(curve.seconds, curve.to_first, curve.to_last, strict=True)
        ]
        table([f"{title}, s", f"to {names[0]}", f"to {names[1]}"], rows)
        fall, rise = curve.trends()
        print(f"\nFrom start to end: {fall:+.3f} to {names[0]}, {rise:+.3f} to {names[1]}.\n")
    picture = args.output or args.result.with_name(f"{args.result.stem}_voices.png")
    draw(picture, curves, names)
    print(f"Picture: {picture}")


if __name__ == "__main__":
    main()
