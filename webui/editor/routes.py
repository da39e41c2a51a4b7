"""Requests of the pitch editor, under ``/editor``: what to show, edits, renderings.

The page shows the ticket of its song, which it got after its login, in the header
``x-editor-ticket``. Answers are JSON, or numbers as bytes, little-endian.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from modules.common.errors import ConfigError, GlowSVCError
from modules.common.text import printable
from webui.editor.songs import OpenSong, OpenSongs
from webui.jobs.queue import BackgroundJob, BusyError, Cancelled

TICKET = "x-editor-ticket"
_MEL = (-9.0, 2.0)  # natural log, of the darkest and the brightest
_MARGIN = 4  # frames beside those of a mel
_LARGEST = 2**21  # samples, or frames, of one answer
_BYTES = "application/octet-stream"

Answer = Callable[[OpenSong, Mapping[str, Any]], Response]


def editor_routes(songs: OpenSongs) -> Mount:
    """The routes."""

    def route(path: str, answer: Answer, method: str = "GET") -> Route:
        async def act(request: Request) -> Response:
            try:
                opened = songs.of_ticket(request.headers.get(TICKET, ""))
                given = await _given(request) if method == "POST" else request.query_params
                return await run_in_threadpool(answer, opened, given)
            except GlowSVCError as error:
                return _refusal(error)

        return Route(path, act, methods=[method], name=path)

    def render(opened: OpenSong, given: Mapping[str, Any]) -> Response:
        job = songs.render(opened, given.get("save") is True)
        return StreamingResponse(_progress(opened, job), media_type="application/x-ndjson")

    return Mount(
        "/editor",
        routes=[
            route("/song", _song),
            route("/mel", _mel),
            route("/audio", _audio),
            route("/f0.csv", _file),
            route("/saved", _saved),
            route("/edit", _edit, "POST"),
            route("/render", render, "POST"),
        ],
    )


def _refusal(error: Exception) -> JSONResponse:
    return JSONResponse({"detail": printable(str(error))}, 429 if isinstance(error, BusyError) else 400)


async def _given(request: Request) -> Mapping[str, Any]:
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ConfigError("the request must be a JSON object")
    return given


def _state(opened: OpenSong) -> dict[str, Any]:
    """What changes with each edit."""
    from modules.dsp.f0 import transpose
    from modules.dsp.notes import find_notes

    song, history = opened.song, opened.history
    notes = find_notes(transpose(history.f0, song.key), song.frame_rate)
    return {
        "notes": [[round(note.start, 4), round(note.end, 4), round(note.pitch, 3)] for note in notes],
        "undo": history.undoable,
        "redo": history.redoable,
        "stale": song.stale(history.f0),
    }


def _track(f0: np.ndarray) -> list[float]:
    numbers: list[float] = np.round(f0.astype(np.float64), 2).tolist()
    return numbers


def _song(opened: OpenSong, given: Mapping[str, Any]) -> Response:
    from modules.dsp.mel_basis import mel_centres

    song, data = opened.song, opened.song.data
    facts = {
        "name": opened.task.song.name,
        "key": song.key,
        "frameRate": song.frame_rate,
        "hop": song.hop_length,
        "rate": song.sampling_rate,
        "samples": song.source.n_samples,
        "slices": [[chunk.start, chunk.end, chunk.silent] for chunk in song.chunks],
        "bands": np.round(mel_centres(data.n_mels, data.f_min, data.f_max), 2).tolist(),  # Hz
        "source": _track(song.f0),
        "f0": _track(opened.history.f0),
    }
    return JSONResponse({**facts, **_state(opened)})


def _edit(opened: OpenSong, given: Mapping[str, Any]) -> Response:
    from webui.editor.actions import apply_edit

    with opened.editing:
        change = apply_edit(opened.song, opened.history, given)
        changed = {"first": change.first, "f0": _track(change.after)} if change else {"first": 0, "f0": []}
        return JSONResponse({**changed, **_state(opened)})


def _span(given: Mapping[str, Any], most: int) -> tuple[int, int]:
    try:
        start, end = int(given["start"]), int(given["end"])
    except (KeyError, ValueError):
        start = end = -1
    if not 0 <= start <= end <= start + _LARGEST or start > most:
        raise ConfigError(f"start and end must lie within the song, at most {_LARGEST} apart")
    return start, min(end, most)


def _samples(opened: OpenSong, of: object, start: int, end: int) -> np.ndarray:
    if of not in ("source", "result"):
        raise ConfigError("of must be source or result")
    return opened.song.source.read(start, end) if of == "source" else opened.song.read(start, end)


def _audio(opened: OpenSong, given: Mapping[str, Any]) -> Response:
    """Samples ``start`` to ``end``, 32-bit floats."""
    audio = _samples(opened, given.get("of"), *_span(given, opened.song.source.n_samples))
    return Response(audio.astype("<f4").tobytes(), media_type=_BYTES)


def _mel(opened: OpenSong, given: Mapping[str, Any]) -> Response:
    """Frames ``start`` to ``end`` of the log-mel, one after the other, a byte a band: 255 is bright."""
    import torch

    from modules.dsp.mel import LogMel

    song, hop = opened.song, opened.song.hop_length
    start, end = _span(given, -(-song.source.n_samples // hop))
    first = max(0, start - _MARGIN)
    audio = _samples(opened, given.get("of"), first * hop, (end + _MARGIN) * hop)
    audio = np.pad(audio, (0, (end + _MARGIN - first) * hop - len(audio)))
    mel = LogMel(song.data)(torch.from_numpy(audio)[None])[0, :, start - first : end - first].numpy()
    shade = (mel.T - _MEL[0]) / (_MEL[1] - _MEL[0])
    return Response((255 * shade.clip(0, 1)).astype(np.uint8).tobytes(), media_type=_BYTES)


def _file(opened: OpenSong, given: Mapping[str, Any]) -> Response:
    """The pitch before the key, as ``--write_f0`` writes it."""
    from inference.pitch.files import write_f0
    from webui.uploads import temporary_folder

    with temporary_folder() as folder:
        path = Path(folder) / "f0.csv"
        write_f0(path, opened.history.f0, opened.song.frame_rate)
        return Response(path.read_bytes(), media_type="text/csv")


def _saved(opened: OpenSong, given: Mapping[str, Any]) -> Response:
    """The result that was saved last."""
    if opened.saved is None or not opened.saved.is_file():
        raise ConfigError("save the result first")
    return FileResponse(opened.saved)


async def _progress(opened: OpenSong, job: BackgroundJob) -> AsyncIterator[str]:
    """Lines of JSON: ``share`` while it is rendered, then ``ranges`` of changed samples, or ``detail``."""
    try:
        while not job.finished.is_set():
            yield json.dumps({"share": round(job.share, 3)}) + "\n"
            for _ in range(10):  # a short rendering is told at once
                await asyncio.sleep(0.02)
                if job.finished.is_set():
                    break
        try:
            numbers, path = job.result()
        except Cancelled:
            yield json.dumps({"cancelled": True}) + "\n"
            return
        except GlowSVCError as error:
            yield json.dumps({"detail": printable(str(error))}) + "\n"
            return
        chunks = [opened.song.chunks[number] for number in numbers]
        done = {
            "ranges": [[chunk.start, chunk.end] for chunk in chunks],
            "stale": opened.song.stale(opened.history.f0),
        }
        if path:
            done["file"] = path.name
        yield json.dumps(done) + "\n"
    finally:
        job.cancel()  # the page is gone, or it has ended
