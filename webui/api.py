"""HTTP API: named endpoints of Gradio, and the published routes that VST bridges use.

One difference from the published routes: audio is uploaded and sent back, and no
request names a file of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi import HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, UploadFile

from inference.options import ConvertOptions
from inference.options.checks import AUTO_KEY
from modules.common.errors import ConfigError, GlowSVCError
from modules.common.text import printable
from webui.context import Context
from webui.convert.options import read_options
from webui.convert.tab import plan_conversions
from webui.convert.voice_model import model_config
from webui.jobs.queue import BusyError, Cancelled
from webui.logins import Logins
from webui.paths import VOICE_MODELS, find_models
from webui.session import ConversionTask, ConvertedSong, Session
from webui.uploads import LARGEST, check_paths, clean_stem, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Awaitable

RATES = (8000, 384000)  # Hz, lowest and highest sampleRate
_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "ogg": "audio/ogg"}
# options that name a model, with the option of its configuration
_CONFIGS = {"model_path": "config_path", "diffusion_model_path": "diffusion_config_path"}


def requested_options(root: Path, session: Session, changes: Mapping[str, Any]) -> ConvertOptions:
    """Options of the loaded voice model with ``changes``.

    If ``changes`` name another voice model, only the device of the loaded one is kept. A
    diffusion model that refines is not a voice model.

    Raises:
        ConfigError: No model is loaded and none is named; an option is wrong or leads out of the project.
    """
    base = session.options
    changes = {name: value for name, value in changes.items() if value or name not in (*_CONFIGS, "onnx")}
    named = {*_CONFIGS, "onnx"} & set(changes)
    if base is None and not named:
        raise ConfigError(
            "no voice model is loaded; load one on the page, with /load, or with webUI.py --model_path"
        )
    kept = [option.name for option in fields(ConvertOptions) if option.name != "reference"]
    if named - {"diffusion_model_path"}:
        kept = ["device"]
    elif named and changes.get("only_diffusion", base and base.only_diffusion):
        kept = ["device", "only_diffusion"]
    known = {name: getattr(base, name) for name in kept} if base else {}
    known |= {_CONFIGS[model]: "" for model in named - {"onnx"}}  # that of another model
    return check_paths(root, read_options({**known, **changes}))


def build_endpoints(context: Context, session: Session) -> None:
    """Add the named endpoints: models, load, instant, unload and convert."""
    with gr.Column(visible=False):
        song, result = gr.File(label="song"), gr.File(label="result")
        speaker, model = gr.Textbox("", label="speaker"), gr.Textbox(label="model_path")
        recording = gr.File(label="recording")
        key, options = gr.Number(0, label="key"), gr.JSON({}, label="options")
        answer, trigger = gr.JSON(label="answer"), gr.Button()

    def load(model_path: str, options: dict[str, Any] | None) -> dict[str, Any]:
        wanted = requested_options(context.root, session, {"model_path": model_path, **(options or {})})
        config = session.load(wanted).result()
        return {"model_path": wanted.model_path, "speakers": list(config.spk), "device": session.device}

    def instant(recording: str | None, options: dict[str, Any] | None) -> dict[str, Any]:
        def options_of(model: str) -> ConvertOptions:
            return requested_options(context.root, session, {**(options or {}), "model_path": model})

        if not recording:
            raise ConfigError("upload a recording of the voice first")
        wanted = session.load_instant(Path(recording), options_of).result()
        speakers = list(model_config(wanted).spk)
        return {"model_path": wanted.model_path, "speakers": speakers, "device": session.device}

    def convert(
        song: str | None, speaker: str, key: float, options: dict[str, Any] | None
    ) -> Iterator[str | None]:
        wanted = requested_options(context.root, session, options or {})
        if speaker:
            wanted = replace(wanted, spk_list=(speaker,))
        keys = wanted.trans if (options or {}).get("trans") == AUTO_KEY else (float(key or 0),)
        tasks = plan_conversions([Path(song)] if song else [], replace(wanted, trans=keys))
        job = session.convert(wanted, tasks)
        try:
            while not job.finished.wait(0.3):  # Gradio closes the generator when the connection is lost
                yield None
            converted = job.result()[0]
        finally:
            job.cancel()
        if isinstance(converted, GlowSVCError):
            raise converted
        yield str(converted.task.result)

    def endpoint(name: str, action: Callable[..., Any], inputs: list[Any], output: Any) -> None:
        trigger.click(context.with_toasts(action), inputs, output, api_name=name, concurrency_limit=None)

    endpoint("models", lambda: find_models(context.root, VOICE_MODELS), [], answer)
    endpoint("load", load, [model, options], answer)
    endpoint("instant", instant, [recording, options], answer)
    endpoint("unload", session.unload, [], None)
    endpoint("convert", convert, [song, speaker, key, options], result)


def routes(root: Path, session: Session, logins: Logins) -> list[Any]:
    """Published routes: ``POST /voiceChangeModel`` and ``POST /wav2wav``, with HTTP basic authentication."""

    def route(path: str, act: Callable[..., Awaitable[Response]]) -> APIRoute:
        async def answer(request: Request) -> Response:
            logins.check_basic(request)
            bounded = Request(request.scope, _bounded(request.receive))
            try:
                session.queue.check_room()  # before anything is uploaded
                async with bounded.form(max_files=1, max_fields=20) as form:
                    with temporary_folder() as folder:
                        return await act(form, bounded, Path(folder), root, session)
            except GlowSVCError as error:
                status = 429 if isinstance(error, BusyError) else 400
                raise HTTPException(status, printable(str(error))) from None
            except Cancelled:
                raise HTTPException(499, "cancelled") from None

        return APIRoute(path, answer, methods=["POST"], name=act.__name__, description=act.__doc__)

    return [route("/voiceChangeModel", voice_change_model), route("/wav2wav", wav2wav)]


async def voice_change_model(
    form: FormData, request: Request, folder: Path, root: Path, session: Session
) -> Response:
    """Convert the upload ``sample``; form: fPitchChange, sSpeakId, sampleRate, fSafePrefixPadLength."""
    song = await _save(form, "sample", folder)
    key, rate = _number(form, "fPitchChange"), round(_number(form, "sampleRate"))
    # checked only: padding that the caller drops comes back like the rest
    _number(form, "fSafePrefixPadLength")
    if rate and not RATES[0] <= rate <= RATES[1]:
        raise ConfigError(f"sampleRate must be between {RATES[0]} and {RATES[1]} Hz, not {rate}")
    speaker = _speaker(form, "sSpeakId", "0")
    options = requested_options(root, session, {"wav_format": "wav", "trans": key})  # checks the key
    converted = await _convert(
        request, session, options, ConversionTask(song, folder / "result.wav", speaker, key)
    )
    content = await asyncio.to_thread(_at_rate, converted, rate, folder)
    return _file(content, "result.wav", "wav")


async def wav2wav(form: FormData, request: Request, folder: Path, root: Path, session: Session) -> Response:
    """Convert the upload ``audio``; form: tran, spk, wav_format."""
    if isinstance(form.get("audio_path"), str):
        raise ConfigError("audio_path names a file of the server; upload the file itself as audio")
    song = await _save(form, "audio", folder)
    options = requested_options(root, session, {"wav_format": str(form.get("wav_format") or "wav").lower()})
    speaker, key = _speaker(form, "spk", ""), _number(form, "tran")
    wanted = replace(options, spk_list=(str(speaker),) if speaker != "" else options.spk_list, trans=(key,))
    named = plan_conversions([song], wanted)[0]
    task = replace(named, result=folder / f"result.{options.wav_format}")
    converted = await _convert(request, session, options, task)
    content = await asyncio.to_thread(converted.task.result.read_bytes)
    return _file(content, named.result.name, options.wav_format)


async def _convert(
    request: Request, session: Session, options: ConvertOptions, task: ConversionTask
) -> ConvertedSong:
    """Convert when it is this request's turn; stop if the caller disconnects."""
    job = session.convert(options, [task])
    try:
        while not job.finished.is_set():
            await asyncio.sleep(0.05)
            if await request.is_disconnected():
                raise Cancelled
        converted = job.result()[0]
    finally:
        job.cancel()
        while not job.finished.is_set():  # it still reads the upload
            await asyncio.sleep(0.05)
    if isinstance(converted, GlowSVCError):
        raise converted
    return converted


def _at_rate(converted: ConvertedSong, rate: int, folder: Path) -> bytes:
    """The result as a WAV file at ``rate`` Hz; 0 keeps its own rate."""
    import soundfile

    from inference.output import writing
    from modules.dsp.audio import read_audio, resample

    path = converted.task.result
    if rate in (0, converted.sampling_rate):
        return path.read_bytes()
    with soundfile.SoundFile(path) as file:
        comment = file.comment
    audio, own = read_audio(path)
    with writing(folder / "resampled.wav", rate, "wav", comment) as file:
        file.write(resample(audio, own, rate))
    return (folder / "resampled.wav").read_bytes()


async def _save(form: FormData, name: str, folder: Path) -> Path:
    upload = form.get(name)
    if not isinstance(upload, UploadFile):
        raise ConfigError(f"the form has no file {name!r}")
    if not upload.size:
        raise ConfigError(f"the file {name!r} is empty (0 bytes)")
    suffix = Path(upload.filename or "").suffix.lower()
    suffix = suffix if suffix[1:].isalnum() and len(suffix) < 8 else ".wav"
    path = folder / f"{clean_stem(upload.filename or 'sample.wav')}{suffix}"
    with path.open("wb") as file:
        while block := await upload.read(1 << 20):
            await asyncio.to_thread(file.write, block)
    return path


def _number(form: FormData, name: str) -> float:
    """A number of the form; 0 if it is missing or empty."""
    value = form.get(name) or 0
    with contextlib.suppress(TypeError, ValueError):
        number = float(value)  # type: ignore[arg-type]
        if abs(number) < 1e9:
            return number
    raise ConfigError(f"{name} must be a number, not {str(value)[:40]!r}")


def _speaker(form: FormData, name: str, default: str) -> str | int:
    """A speaker's name or id; bridges also send ids as 1.0."""
    value = str(form.get(name) or default)
    with contextlib.suppress(ValueError, OverflowError):
        return int(float(value))
    return value


def _file(content: bytes, name: str, kind: str) -> Response:
    from urllib.parse import quote

    disposition = f"attachment; filename*=utf-8''{quote(name)}"
    media = _TYPES.get(kind, "application/octet-stream")
    return Response(content, media_type=media, headers={"content-disposition": disposition})


def _bounded(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """``receive`` that raises HTTP error 413 after the largest allowed upload."""
    seen = 0

    async def bounded() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST:
            raise HTTPException(413, f"more than {LARGEST / 2**30:g} GB")
        return message

    return bounded
