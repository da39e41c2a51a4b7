"""F0 predictors on songs of known pitch, and on real recordings by agreement.

    python -m benchmarks.pitch [--trackers pm swift-f0] [--recordings clips/ song.wav]
    python -m benchmarks.pitch --only speed

"accuracy": share of the voiced frames within 50 cents, "octave": of those that lie octaves off,
"voicing": share of all frames with the right voicing; frames of vocal fry count in none of
them. "extremes": accuracy above 1100 Hz, where published models end, and below 50 Hz in a song that
is then raised by an octave (-t 12); and how much of whispered songs and of an empty room, -60 dB, is
called voiced. "agreement": share of frames of recordings on which a predictor agrees with the median
of the others, in voicing and within 50 cents. "speed": seconds per second of sound. "ensembles":
accuracy of several predictors together.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measure import alternate, table
from benchmarks.pitch.conditions import HOP, RATE, KnownSong, extremes, songs
from benchmarks.pitch.ensembles import ENSEMBLES
from inference.key import tracking_range
from modules.common.cli import make_parser
from modules.dsp.audio import find_audio, read_audio
from modules.dsp.f0 import F0_MAX, F0_MIN
from modules.f0_predictor import F0_PREDICTORS
from modules.f0_predictor.base import F0Predictor

PARTS = ("accuracy", "extremes", "agreement", "speed", "ensembles")
DEFAULT = ("pm", "dio", "harvest", "swift-f0", "fcpe")  # crepe takes minutes, rmvpe a download
_WITHIN = 50  # cents


def main(argv: Sequence[str]) -> None:
    """Print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--trackers", nargs="+", default=DEFAULT, choices=F0_PREDICTORS, help="some (%(default)s)"
    )
    parser.add_argument("--recordings", nargs="+", type=Path, default=[], help="folders or files of voices")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each singer (%(default)g)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some of the tables (all)")
    args = parser.parse_args(argv)
    trackers = {name: _build(name) for name in args.trackers}
    if "accuracy" in args.only:
        print_known(trackers, songs(args.seconds))
    if "extremes" in args.only:
        print_extremes(trackers, extremes(args.seconds))
    if "agreement" in args.only and args.recordings:
        print_agreement(trackers, args.recordings)
    if "speed" in args.only:
        print_speed(trackers)
    if "ensembles" in args.only:
        print_ensembles(songs(args.seconds))


def _build(name: str) -> F0Predictor:
    """The predictor in the range that a conversion tracks."""
    predictor: F0Predictor = F0_PREDICTORS.build(name)
    return _in_key(predictor, 0.0)


def _in_key(tracker: F0Predictor, key: float) -> F0Predictor:
    return tracker.within(*tracking_range(key, RATE))


def print_known(trackers: Mapping[str, F0Predictor], known: Mapping[str, Sequence[KnownSong]]) -> None:
    """Print accuracy, octave errors and voicing by condition."""
    found = {
        name: {condition: _score(tracker, group) for condition, group in known.items()}
        for name, tracker in trackers.items()
    }
    for index, title in enumerate(("accuracy", "octave", "voicing")):
        rows = [
            [name, *(f"{100 * scores[condition][index]:.1f} %" for condition in known)]
            + [f"{100 * np.mean([score[index] for score in scores.values()]):.1f} %"]
            for name, scores in found.items()
        ]
        print(f"{title}\n")
        table(["predictor", *known, "mean"], rows)
        print(flush=True)


def _score(tracker: F0Predictor, group: Sequence[KnownSong]) -> tuple[float, float, float]:
    """Accuracy, octave errors and voicing, 0 to 1."""
    found, true = _tracked(tracker, group), _true(group)
    voiced = true > 0
    cents = _cents(found[voiced], true[voiced])
    octaves = np.round(cents / 1200)
    off = (octaves != 0) & (np.abs(cents - 1200 * octaves) < 100) & (found[voiced] > 0)
    return float(np.mean(np.abs(cents) < _WITHIN)), float(off.mean()), float(np.mean((found > 0) == voiced))


def print_extremes(trackers: Mapping[str, F0Predictor], known: Mapping[str, Sequence[KnownSong]]) -> None:
    """Print accuracy beyond 50 to 1100 Hz, and how much of what has no pitch is called voiced."""
    rows = []
    for name, tracker in trackers.items():
        cells = []
        for group, key in (("high", 0.0), ("low", 12.0)):
            found, true = _tracked(_in_key(tracker, key), known[group]), _true(known[group])
            there = true > F0_MAX if group == "high" else (true > 0) & (true < F0_MIN)
            cells.append(np.mean(np.abs(_cents(found[there], true[there])) < _WITHIN))
        cells += [np.mean(_tracked(tracker, known[group]) > 0) for group in ("whisper", "room")]
        rows.append([name, *(f"{100 * cell:.1f} %" for cell in cells)])
    print("extremes\n")
    table(["predictor", "above 1100 Hz", "below 50 Hz, `-t 12`", "whisper voiced", "empty room voiced"], rows)
    print(flush=True)


def _tracked(tracker: F0Predictor, group: Sequence[KnownSong]) -> np.ndarray:
    """Pitch (N,) of all songs, Hz, 0 where unvoiced, without the frames that do not count."""
    tracks = []
    for song in group:
        f0, uv = tracker.predict(song.audio, len(song.f0))
        tracks.append((f0 * uv)[~song.ignored])
    return np.concatenate(tracks)


def _true(group: Sequence[KnownSong]) -> np.ndarray:
    return np.concatenate([song.f0[~song.ignored] for song in group])


def print_ensembles(known: Mapping[str, Sequence[KnownSong]]) -> None:
    """Print the accuracy of ensembles, and of the best predictor among them."""
    trackers = {name: _build(name) for name in ("pm", "swift-f0", "fcpe")}
    rows: dict[str, list[float]] = {}
    for group in known.values():
        tracks, true = {name: _tracked(tracker, group) for name, tracker in trackers.items()}, _true(group)
        found = {"swift-f0": tracks["swift-f0"]} | {name: make(tracks) for name, make in ENSEMBLES.items()}
        for name, track in found.items():
            rows.setdefault(name, []).append(
                float(np.mean(np.abs(_cents(track[true > 0], true[true > 0])) < _WITHIN))
            )
    print("accuracy of ensembles\n")
    means = {name: [*found, float(np.mean(found))] for name, found in rows.items()}
    cells = [[name, *(f"{100 * share:.1f} %" for share in found)] for name, found in means.items()]
    table(["predictors", *known, "mean"], cells)


def _cents(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Errors in cents; unvoiced frames lie very far away."""
    return 1200 * np.log2(np.maximum(found, 1e-3) / np.maximum(true, 1e-3))


def print_agreement(trackers: Mapping[str, F0Predictor], places: Sequence[Path]) -> None:
    """Print how often each predictor agrees with the median of the others."""
    groups = {place.stem: sorted(find_audio(place)) if place.is_dir() else [place] for place in places}
    columns: dict[str, dict[str, float]] = {}
    for group, paths in groups.items():
        clips = [read_audio(path, RATE)[0] for path in paths]
        tracks = {
            name: np.concatenate([f0 * uv for f0, uv in map(tracker.predict, clips)])
            for name, tracker in trackers.items()
        }
        columns[group] = {name: _agreement(tracks, name) for name in tracks}
    rows = [[name, *(f"{100 * found[name]:.1f} %" for found in columns.values())] for name in trackers]
    print("agreement with the median of the others\n")
    table(["predictor", *columns], rows)
    print(flush=True)


def _agreement(tracks: Mapping[str, np.ndarray], name: str) -> float:
    others = np.stack([track for other, track in tracks.items() if other not in (name, "auto")])
    voiced = (others > 0).mean(0)
    middle = np.nanmedian(np.where((others > 0).any(0) & (others == 0), np.nan, others), axis=0)
    clear = voiced != 0.5  # a tie says nothing
    agrees = np.where(voiced > 0.5, np.abs(_cents(tracks[name], middle)) < _WITHIN, tracks[name] == 0)
    return float(agrees[clear].mean())


def print_speed(trackers: Mapping[str, F0Predictor]) -> None:
    """Print seconds per second of sound, in turns."""
    audio = np.concatenate([song.audio for song in songs(4.0)["clean"]])
    length = len(audio) / RATE
    times = alternate({name: partial(tracker.predict, audio) for name, tracker in trackers.items()}, 3)
    medians = {name: float(np.median(found)) / length for name, found in times.items()}
    first = next(iter(medians.values()))
    rows = [[name, f"{each:.4f}", f"{each / first:.1f}×"] for name, each in medians.items()]
    print(f"speed, one process, hop {HOP}\n")
    table(["predictor", "s per s", f"relative to {next(iter(medians))}"], rows)


if __name__ == "__main__":
    main(sys.argv[1:])
