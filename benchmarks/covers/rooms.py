"""Print what the estimate of a room finds in known ones: python -m benchmarks.covers.rooms."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from benchmarks.covers.songs import RATE
from benchmarks.measure import table
from inference.cover.room import HOP, estimate_room
from synthetic_voice import compose, sing

SECONDS, LEVELS = (0.5, 1.0, 2.0), (-6.0, -12.0, -20.0)


def main() -> None:
    """Print the table."""
    rows = []
    for singer in ("sofia", "tomas", "noor"):
        voice = sing(compose(singer, 40.0, 3), singer, 3).audio
        rows.append((singer, "dry", _found(voice)))
        for seconds in SECONDS:
            time = np.arange(round(1.5 * seconds * RATE)) / RATE
            walls = np.random.default_rng(0).standard_normal(len(time)) * 10 ** (-3 * time / seconds)
            wet = fftconvolve(voice, walls)[: len(voice)]
            wet *= np.sqrt(np.square(voice).sum() / np.square(wet).sum())
            rows += [
                (singer, f"{seconds:g} s, {level:g} dB", _found(voice + 10 ** (level / 20) * wet))
                for level in LEVELS
            ]
    table(("voice", "room", "estimate"), rows)


def _found(audio: np.ndarray) -> str:
    powers = np.square(audio[: len(audio) // HOP * HOP], dtype=np.float64).reshape(-1, HOP).mean(1)
    room = estimate_room(powers)
    return f"{room.seconds:.2f} s, {room.level:.0f} dB" if room else "dry"


if __name__ == "__main__":
    main()
