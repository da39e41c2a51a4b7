"""The page for programs: named endpoints of Gradio, and the routes that VST bridges know.

The routes are those of the published project, with one change: sound is
uploaded and sent back, no file of the server is ever named.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from starlette.datastructures import FormData, UploadFile

from inference.options import ConvertOptions
from modules.common.errors import ConfigError, GlowSVCError
from webui.context import Context
from webui.convert.options import read_options
from webui.convert.tab import plan_takes
from webui.convert.voice_model import beside
from webui.jobs.queue import Cancelled
from webui.places import VOICES, find_models
from webui.session import Made, Session, Take
from webui.toasts import toasts
from webui.uploads import LARGEST, clean_stem, scratch, within_reach

if TYPE_CHECKING:
    from collections.abc import Awaitable

RATES = (8000, 384000)  # Hz that a program may ask for
_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "ogg": "audio/ogg"}
# options that name a model, and the configuration that belongs to it
_CONFIGS = {
    "model_path": ("config_path", "config.json"),
    "diffusion_model_path": ("diffusion_config_path", "config.yaml"),
}
Logins = Sequence[tuple[str, str]]


def asked_options(root: Path, session: Session, changes: Mapping[str, Any]) -> ConvertOptions:
    """Return the options of the loaded voice with ``changes``.

    Of a voice that ``changes`` name instead, they alone count, and the device of
    the loaded one. A diffusion model that does not sing alone is no voice.

    Raises:
        ConfigError: No voice is loaded and none is named; an option is wrong or leads out of the project.
    """
    base = session.options
    changes = {name: value for name, value in changes.items() if value or name not in (*_CONFIGS, "onnx")}
    named = {*_CONFIGS, "onnx"} & set(changes)
    if base is None and not named:
        raise ConfigError(
            "no voice is loaded; load one on the page, with /load, or with webUI.py --model_path"
        )
    kept = [option.name for option in fields(ConvertOptions)]
    if named - {"diffusion_model_path"}:
        kept = ["device"]
    elif named and changes.get("only_diffusion", base and base.only_diffusion):
        kept = ["device", "only_diffusion"]
    known = {name: getattr(base, name) for name in kept} if base else {}
    for model in named - {"onnx"}:
        config, usual = _CONFIGS[model]
        changes.setdefault(config, beside(changes[model], config) or usual)
    return within_reach(root, read_options({**known, **changes}))


def build_endpoints(context: Context, session: Session) -> None:
    """Add the named endpoints: models, load, unload and convert."""
    song, result = gr.File(visible=False, label="song"), gr.File(visible=False, label="result")
    speaker, model = (
        gr.Textbox("", visible=False, label="speaker"),
        gr.Textbox(visible=False, label="model_path"),
    )
    key, options = gr.Number(0, visible=False, label="key"), gr.JSON({}, visible=False, label="options")
    answer, trigger = gr.JSON(visible=False, label="answer"), gr.Button(visible=False)

    def models() -> list[str]:
        return find_models(context.root, VOICES)

    def load(model_path: str, options: dict[str, Any] | None) -> dict[str, Any]:
        wanted = asked_options(context.root, session, {"model_path": model_path, **(options or {})})
        config = session.load(wanted).result()
        return {"model_path": wanted.model_path, "speakers": list(config.spk), "device": session.device}

    def convert(
        song: str | None, speaker: str, key: float, options: dict[str, Any] | None
    ) -> Iterator[str | None]:
        wanted = asked_options(context.root, session, options or {})
        if speaker:
            wanted = replace(wanted, spk_list=(speaker,))
        takes = plan_takes([Path(song)] if song else [], replace(wanted, trans=(float(key or 0),)))
        job = session.convert(wanted, takes)
        try:
            while not job.finished.wait(0.3):  # a connection that is lost ends this
                yield None
            made = job.result()[0]
        finally:
            job.cancel()
        if isinstance(made, GlowSVCError):
            raise made
        yield str(made.take.result)

    def endpoint(name: str, action: Callable[..., Any], inputs: list[Any], output: Any) -> None:
        trigger.click(toasts(action, context.debug), inputs, output, api_name=name, concurrency_limit=None)

    endpoint("models", models, [], answer)
    endpoint("load", load, [model, options], answer)
    endpoint("unload", session.unload, [], None)
    endpoint("convert", convert, [song, speaker, key, options], result)


def routes(root: Path, session: Session, logins: Logins = ()) -> list[Any]:
    """Return the published routes: ``POST /voiceChangeModel`` and ``POST /wav2wav``.

    Args:
        root: The project folder.
        session: Holds the voice.
        logins: Who may use them, by HTTP basic authentication; empty lets everybody.
    """
    router = APIRouter()

    @router.post("/voiceChangeModel")
    async def voice_change_model(request: Request) -> Response:
        """Convert the upload ``sample``; form: fPitchChange, sSpeakId, sampleRate, fSafePrefixPadLength."""
        return await _answer(request, logins, _change, root, session)

    @router.post("/wav2wav")
    async def wav2wav(request: Request) -> Response:
        """Convert the upload ``audio``; form: tran, spk, wav_format."""
        return await _answer(request, logins, _wav2wav, root, session)

    return router.routes


async def _answer(
    request: Request, logins: Logins, act: Callable[..., Awaitable[Response]], root: Path, session: Session
) -> Response:
    """Read a form within bounds and let ``act`` answer; a user's mistake is one line."""
    _check_login(request, logins)
    bounded = Request(request.scope, _bounded(request.receive))
    try:
        async with bounded.form(max_files=1, max_fields=20) as form:
            with scratch() as folder:
                return await act(form, bounded, Path(folder), root, session)
    except GlowSVCError as error:
        raise HTTPException(400, str(error)) from None
    except Cancelled:
        raise HTTPException(499, "cancelled") from None


async def _change(form: FormData, request: Request, folder: Path, root: Path, session: Session) -> Response:
    song = await _save(form, "sample", folder)
    key, rate = _number(form, "fPitchChange", 0.0), round(_number(form, "sampleRate", 0.0))
    _number(form, "fSafePrefixPadLength", 0.0)  # sound that the caller drops: it comes back like the rest
    if rate and not RATES[0] <= rate <= RATES[1]:
        raise ConfigError(f"sampleRate must be between {RATES[0]} and {RATES[1]} Hz, not {rate}")
    speaker = _speaker(form, "sSpeakId", "0")
    options = asked_options(root, session, {"wav_format": "wav"})
    made = await _convert(request, session, options, Take(song, folder / "result.wav", speaker, key))
    content = await asyncio.to_thread(_at_rate, made, rate, folder)
    return _file(content, "result.wav", "wav")


async def _wav2wav(form: FormData, request: Request, folder: Path, root: Path, session: Session) -> Response:
    if isinstance(form.get("audio_path"), str):
        raise ConfigError("audio_path names a file of the server; upload the sound itself as audio")
    song = await _save(form, "audio", folder)
    options = asked_options(root, session, {"wav_format": str(form.get("wav_format") or "wav").lower()})
    speaker, key = _speaker(form, "spk", ""), _number(form, "tran", 0.0)
    wanted = replace(options, spk_list=(str(speaker),) if speaker != "" else options.spk_list, trans=(key,))
    named = plan_takes([song], wanted)[0]
    take = replace(named, result=folder / f"result.{options.wav_format}")
    made = await _convert(request, session, options, take)
    content = await asyncio.to_thread(made.take.result.read_bytes)
    return _file(content, named.result.name, options.wav_format)


async def _convert(request: Request, session: Session, options: ConvertOptions, take: Take) -> Made:
    """Convert in turn; if the caller goes away, stop."""
    job = session.convert(options, [take])
    try:
        while not job.finished.is_set():
            await asyncio.sleep(0.05)
            if await request.is_disconnected():
                raise Cancelled
        made = job.result()[0]
    finally:
        job.cancel()
        while not job.finished.is_set():  # the upload is being read
            await asyncio.sleep(0.05)
    if isinstance(made, GlowSVCError):
        raise made
    return made


def _at_rate(made: Made, rate: int, folder: Path) -> bytes:
    """Return the result as a WAV file at ``rate``; 0 leaves it at its own."""
    import soundfile

    from inference.output import writing
    from modules.dsp.audio import read_audio, resample

    path = made.take.result
    if rate in (0, made.sampling_rate):
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


def _number(form: FormData, name: str, default: float) -> float:
    value = form.get(name)
    if value in (None, ""):
        return default
    with contextlib.suppress(TypeError, ValueError):
        number = float(value)  # type: ignore[arg-type]
        if abs(number) < 1e9:
            return number
    raise ConfigError(f"{name} must be a number, not {str(value)[:40]!r}")


def _speaker(form: FormData, name: str, default: str) -> str | int:
    """Return a name, or an id: bridges send ids as 1.0 too."""
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
    """Return ``receive`` that refuses to go on after the largest upload that is allowed."""
    seen = 0

    async def bounded() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST:
            raise HTTPException(413, f"more than {LARGEST / 2**30:g} GB")
        return message

    return bounded


def _check_login(request: Request, logins: Logins) -> None:
    if not logins:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    with contextlib.suppress(binascii.Error, ValueError):
        sent = base64.b64decode(given, validate=True)
        right = [secrets.compare_digest(sent, f"{user}:{word}".encode()) for user, word in logins]
        if scheme.lower() == "basic" and any(right):
            return
    raise HTTPException(401, "log in", headers={"www-authenticate": "Basic"})
