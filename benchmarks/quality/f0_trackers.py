"""Errors of the F0 predictors on singers of known pitch, and the range that they find in recordings.

    python -m benchmarks.quality.f0_trackers [--trackers pm,dio] [<folder of recordings of one voice>]

"octave" and "gross" are shares of the voiced frames that lie an octave, or over 50 cents, off;
"missed" those called unvoiced; "false" the share of unvoiced frames called voiced. "range" is the
largest error, over the singers, of the 5th and 95th percentile from which keys are advised.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benchmarks.measure import table
from modules.common.cli import make_parser
from modules.dsp.audio import find_audio, read_audio
from modules.f0_predictor import F0_PREDICTORS
from modules.f0_predictor.base import F0Predictor
from synthetic_voice import SINGERS, Performance, compose, sing

RATE, HOP = 44100, 512
SECONDS = 8.0  # of each singer
NOISE = 0.1  # RMS relative to the song's, -20 dB


def main() -> None:
    """Print a table for clean songs, one for noisy ones, and one for the recordings."""
    parser = make_parser(__doc__)
    parser.add_argument("recordings", nargs="?", type=Path, help="folder of recordings of one voice")
    parser.add_argument("--trackers", default="pm,dio,harvest,fcpe", help="names (%(default)s)")
    args = parser.parse_args()
    trackers = {name: F0_PREDICTORS.build(name) for name in args.trackers.split(",")}
    songs = [sing(compose(name, SECONDS, 1), name, 1) for name in SINGERS]
    for noise in (0.0, NOISE):
        print(f"noise {noise:g}")
        rows = [[name, *_errors(tracker, songs, noise)] for name, tracker in trackers.items()]
        table(["predictor", "octave", "gross", "missed", "false", "range", "s per s"], rows)
    if args.recordings:
        clips = [read_audio(path, RATE)[0] for path in find_audio(args.recordings)]
        header = ["predictor", "voiced", "1 %", "5 %", "50 %", "95 %", "99 %", "below 0.6 of the median"]
        table(header, [[name, *_range(tracker, clips)] for name, tracker in trackers.items()])


def _errors(tracker: F0Predictor, songs: list[Performance], noise: float) -> list[str]:
    rng = np.random.default_rng(0)
    found, true, ranges, seconds = [], [], [], 0.0
    for song in songs:
        level = noise * np.sqrt(np.square(song.audio).mean())
        audio = song.audio + (level * rng.standard_normal(len(song.audio))).astype(np.float32)
        began = time.perf_counter()
        f0, uv = tracker.predict(audio)
        seconds += time.perf_counter() - began
        known = song.f0_at(np.arange(len(f0)) * HOP / RATE)
        found.append(f0 * uv)
        true.append(known)
        ends = [np.percentile(track[track > 0], [5, 95]) for track in (f0 * uv, known)]
        ranges.append(np.abs(1200 * np.log2(ends[0] / ends[1])).max())
    f0, known = np.concatenate(found), np.concatenate(true)
    voiced, both = known > 0, (known > 0) & (f0 > 0)
    cents = np.abs(1200 * np.log2(f0[both] / known[both]))
    shares = [
        (np.abs(cents - 1200) < 100).sum() / voiced.sum(),
        (cents > 50).sum() / voiced.sum(),
        np.mean(f0[voiced] == 0),
        np.mean(f0[~voiced] > 0),
    ]
    spent = seconds / (SECONDS * len(songs))
    return [*(f"{100 * share:.2f} %" for share in shares), f"{max(ranges):.0f} cents", f"{spent:.4f}"]


def _range(tracker: F0Predictor, clips: list[np.ndarray]) -> list[str]:
    tracks = [tracker.predict(clip) for clip in clips]
    f0 = np.concatenate([f0[uv > 0] for f0, uv in tracks])
    voiced = np.concatenate([uv for _, uv in tracks]).mean()
    low = np.mean(f0 < 0.6 * np.median(f0))
    percentiles = np.percentile(f0, [1, 5, 50, 95, 99])
    return [f"{100 * voiced:.0f} %", *(f"{hz:.0f} Hz" for hz in percentiles), f"{100 * low:.1f} %"]


if __name__ == "__main__":
    main()
