"""What is heard where a slice that was rendered again after an edit meets one that stayed.

    python -m benchmarks.pitch.joins -m logs/44k/G_best.pth [--song song.wav] [-s anna] [-t 7]

The song is a synthetic singer's, if none is given. Every slice's middle note is moved by a
semitone, one after the other, as in the editor. "excess": level of the 10 ms around the end of a
slice above that of the 30 ms on either side, in two bands; beside it, at the same places, that of
the song converted at once with the same pitch. Ends of slices in silence are not counted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfiltfilt

from benchmarks.measure import table, temporary_folder
from benchmarks.workspace import synthetic_song
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.pitch.editable import EditableSong
from modules.common.cli import make_parser
from modules.dsp.audio import write_audio
from modules.dsp.f0 import transpose
from modules.dsp.notes import find_notes

SPLIT = 4000.0  # Hz, between the bands
SILENT = -50.0  # dB re the song, where a step is not heard
_HERE, _BESIDE = 0.005, 0.035  # s from the end of a slice
CLIPS = (0.0, 2.0)  # s, -cl
SINGER, SECONDS = "tomas", 16.0  # of the song, if none is given

Excess = list[tuple[float, float]]  # dB in the lower and the upper band, at each end of a slice


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("-m", "--model_path", required=True, help="voice model")
    add("--song", type=Path, help="song (default: 16 s of a synthetic singer)")
    add("-s", "--speaker", default="0", help="target speaker (%(default)s)")
    add("-t", "--trans", type=float, default=0.0, help="key, semitones (%(default)g)")
    args = parser.parse_args()
    converter = Converter(ConvertOptions(model_path=args.model_path, device="cpu"))
    rows = []
    for clip in CLIPS:
        converter.options = replace(converter.options, clip=clip)
        with temporary_folder() as scratch:
            song = args.song or _synthesize(scratch)
            edited, whole = measure(converter, song, scratch, args.speaker, args.trans)
        label = f"`-cl {clip:g}`" if clip else "default"
        rows.append([label, str(len(edited)), *_cells(edited), *_cells(whole)])
    header = [
        f"{where}, {band}" for where in ("after an edit", "at once") for band in ("below 4 kHz", "above")
    ]
    table(["slices", "ends", *header], rows)


def _synthesize(folder: Path) -> Path:
    path = folder / "song.wav"
    write_audio(path, synthetic_song(SECONDS, 5, SINGER), 44100)
    return path


def measure(
    converter: Converter, path: Path, scratch: Path, speaker: str, key: float
) -> tuple[Excess, Excess]:
    """Excess at the ends of edited slices, and of the same slices rendered at once."""
    edited: Excess = []
    whole: Excess = []
    song = EditableSong(converter, path, scratch, speaker, key)
    fresh = EditableSong(converter, path, scratch, speaker, key)
    try:
        song.render(converter, song.f0)
        for note in _middle_notes(song):
            f0 = song.f0.copy()
            f0[note] = transpose(f0[note], 1.0)
            again = set(song.render(converter, f0))
            fresh.render(converter, f0)
            for number in range(1, len(song.chunks)):
                if (number in again) != (number - 1 in again):
                    chunk = song.chunks[number]
                    at = chunk.start + chunk.fade_in // 2
                    found = [
                        excess(one.read(0, one.source.n_samples), at, one.sampling_rate)
                        for one in (song, fresh)
                    ]
                    if found[0] and found[1]:
                        edited.append(found[0])
                        whole.append(found[1])
            song.render(converter, song.f0)
            fresh.close()
            fresh = EditableSong(converter, path, scratch, speaker, key)
    finally:
        song.close()
        fresh.close()
    return edited, whole


def _middle_notes(song: EditableSong) -> list[slice]:
    """Frames of a note in each slice."""
    rate, notes = song.frame_rate, find_notes(song.f0, song.frame_rate)
    chosen = []
    for chunk in song.chunks:
        start, end = (at / song.sampling_rate for at in (chunk.start, chunk.end))
        inside = [note for note in notes if start < note.start and note.end < end]
        if inside:
            note = inside[len(inside) // 2]
            chosen.append(slice(round(note.start * rate), round(note.end * rate)))
    return chosen


def excess(audio: np.ndarray, at: int, rate: int) -> tuple[float, float] | None:
    """Level around sample ``at`` above its neighbours', dB, below and above 4 kHz; None in silence."""
    here, beside = round(_HERE * rate), round(_BESIDE * rate)
    margin = 4 * beside
    part = np.pad(audio.astype(np.float64), margin)[at : at + 2 * margin]
    floor = np.square(audio, dtype=np.float64).mean() * 10 ** (SILENT / 10)
    found = []
    for kind in ("low", "high"):
        power = np.square(sosfiltfilt(butter(6, SPLIT, kind, fs=rate, output="sos"), part))
        middle = power[margin - here : margin + here].mean()
        sides = [power[margin - beside : margin - here].mean(), power[margin + here : margin + beside].mean()]
        if kind == "low" and min(middle, *sides) < floor:
            return None
        found.append(float(10 * np.log10((middle + floor * 1e-3) / (max(sides) + floor * 1e-3))))
    return found[0], found[1]


def _cells(found: Excess) -> list[str]:
    """Median and worst of both bands."""
    if not found:
        return ["", ""]
    return [f"{np.median(band):+.1f} dB ({np.max(band):+.1f})" for band in zip(*found, strict=True)]


if __name__ == "__main__":
    main()
