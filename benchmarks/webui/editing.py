"""How long the pitch editor takes: opening a song, rendering it, and what a change of one note touches.

    python -m benchmarks.webui.editing [--seconds 60] [--notes 8]

The voice models have random weights, which speed does not depend on, and an encoder and a vocoder
without downloads. Each note is moved by a semitone on the song as it is, through the editor's requests.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from starlette.applications import Starlette
from starlette.testclient import TestClient

from benchmarks.measure import table, temporary_folder
from benchmarks.workspace import SIZES, synthetic_song, template_without_downloads, write_model
from modules.common.cli import make_parser
from webui.editor.routes import TICKET, editor_routes
from webui.editor.songs import OpenSongs
from webui.session import ConversionTask, Session


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the song (%(default)g)")
    parser.add_argument("--notes", type=int, default=8, help="to move, spread over it (%(default)s)")
    args = parser.parse_args()
    rows = []
    with temporary_folder() as folder:
        os.chdir(folder)
        song = folder / "song.wav"
        soundfile.write(song, synthetic_song(args.seconds, 5), 44100)
        for size in SIZES:
            place = folder / size
            place.mkdir()
            options = write_model(place, template_without_downloads(size))
            rows.append([size, *_measure(options, song, args.notes)])
    table(
        ["model", "opening", "rendering all of it", "a changed note (worst)", "its slices, on average"], rows
    )


def _measure(options: Any, path: Path, n_notes: int) -> list[str]:
    songs = OpenSongs(Session())
    songs.session.load(options).result()
    task = ConversionTask(path, path, "voice", 0.0)
    opened, opening = _timed(lambda: songs.open(options, task).result())
    client = TestClient(Starlette(routes=[editor_routes(songs)]), headers={TICKET: opened.ticket})
    rendered, whole = _timed(lambda: _render(client))
    assert len(rendered["ranges"]) == len(opened.song.stale(opened.song.f0 * 0))
    rate, notes = opened.song.frame_rate, client.get("/editor/song").json()["notes"]
    times, seconds = [], []
    for note in notes[:: max(1, len(notes) // n_notes)]:
        span = {"first": round(note[0] * rate), "last": round(note[1] * rate)}

        def change(span: dict[str, int] = span) -> dict[str, Any]:
            client.post("/editor/edit", json={"action": "move", "semitones": 1, **span})
            return _render(client)

        done, spent = _timed(change)
        times.append(spent)
        seconds.append(sum(end - start for start, end in done["ranges"]) / opened.song.sampling_rate)
    opened.close()
    return [
        f"{opening:.2f} s",
        f"{whole:.2f} s",
        f"{np.median(times):.2f} s ({max(times):.2f})",
        f"{np.mean(seconds):.1f} s",
    ]


def _render(client: TestClient) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(client.post("/editor/render", json={}).text.splitlines()[-1])
    return answer


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    done = work()
    return done, time.perf_counter() - begun


if __name__ == "__main__":
    main()
