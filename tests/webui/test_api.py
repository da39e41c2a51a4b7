import asyncio
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import soundfile
from fastapi import HTTPException, Request
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from inference.options import ConvertOptions
from tests.support.code_execution_payloads import write_payload
from tests.support.processes import wait_until
from tests.webui.server import MODEL, RATE, make_project, running, tone
from webui import uploads
from webui.api import requested_options, routes
from webui.jobs.queue import LONGEST_LINE
from webui.logins import Logins
from webui.session import Session

DOCS = Path(__file__).parents[2] / "docs" / "webui.md"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    root = make_project(tmp_path_factory.mktemp("my 项目"))
    (root / "raw" / "song.wav").write_bytes((root / "raw" / "歌 one.wav").read_bytes())
    with running(root) as address, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield address


@pytest.fixture(scope="module")
def client(url, tmp_path_factory):
    downloads = str(tmp_path_factory.mktemp("downloads"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", downloads)  # each download leaves a folder there
        yield Client(url, verbose=False, download_files=downloads)


@pytest.fixture
def loaded(client):
    client.predict(MODEL, api_name="/load")
    return client


def post(url, route, files=None, **form):
    return httpx.post(f"{url}/{route}", data=form, files=files, timeout=60)


def wav(seconds=1.0, rate=RATE):
    content = io.BytesIO()
    soundfile.write(content, tone(seconds), rate, format="wav")
    return content.getvalue()


def busy(client):
    """Whether the model is in use: then it cannot be unloaded."""
    try:
        client.predict(api_name="/unload")
    except AppError as error:
        assert "is in use" in str(error)
        return True
    return False


GLOW, DIFFUSION = {"model_path": "a/G_1.pth", "config_path": "a/c.json"}, {"diffusion_model_path": "d.pt"}
COMMON = {"spk_list": ("anna",), "noise_scale": 0.1, "device": "cpu"}
ONLY_DIFFUSION = {**DIFFUSION, "only_diffusion": True}


def test_changes_apply_to_the_loaded_model_and_another_one_replaces_all_but_its_device(tmp_path):
    glow = ConvertOptions(**GLOW, **COMMON)
    onnx = ConvertOptions(onnx="checkpoints/a", **COMMON)
    diffusion = ConvertOptions(only_diffusion=True, diffusion_config_path="c.yaml", **COMMON)
    device = {"device": "cpu"}  # and the configuration beside the other model, not that of the loaded one
    refining = {"shallow_diffusion": True, **DIFFUSION}
    for loaded, changes, expected in (
        (onnx, GLOW, {**GLOW, "device": "cpu"}),
        (diffusion, GLOW, {**GLOW, "device": "cpu"}),
        (glow, {"onnx": "checkpoints/b"}, {"onnx": "checkpoints/b", "device": "cpu"}),
        (glow, {**GLOW, "noise_scale": 0.3}, {**GLOW, "noise_scale": 0.3, "device": "cpu"}),
        (glow, ONLY_DIFFUSION, {**ONLY_DIFFUSION, **device}),
        (diffusion, DIFFUSION, {**ONLY_DIFFUSION, **device}),
        (
            glow,
            {"trans": 3, **refining, "onnx": "", "model_path": ""},
            {**GLOW, **COMMON, "trans": (3.0,), **refining, **device},
        ),
    ):
        options = requested_options(tmp_path, SimpleNamespace(options=loaded), changes)
        assert options == ConvertOptions(**expected)


def test_the_server_is_local_bounded_offers_only_documented_endpoints_and_has_all_texts(client, url):
    assert url.startswith("http://127.0.0.1:")
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1", "::1"}
    for address in others:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((address, int(url.rpartition(":")[2]))) != 0
    config = httpx.get(f"{url}/config")
    assert uploads.LARGEST == config.json()["max_file_size"] == 2 * 2**30
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/models", "/load", "/instant", "/unload", "/convert"}
    keys = set(re.findall(r'"key\\*": *\\*"(\w+\.[^"\\]+)', config.text))
    translations = config.json()["i18n_translations"]
    assert len(keys) > 50 and keys <= set(translations["en"]) and keys <= set(translations["zh"])


def test_a_form_is_bounded(monkeypatch):
    monkeypatch.setattr("webui.api.LARGEST", 10)
    sent = {"type": "http.request", "body": b"more than ten bytes", "more_body": True}

    async def receive():
        return sent

    scope = {"type": "http", "method": "POST", "path": "/wav2wav", "query_string": b"", "root_path": ""}
    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    route = next(route for route in routes(Path(), Session(), Logins()) if route.path == "/wav2wav")
    with pytest.raises(HTTPException) as caught:
        asyncio.run(route.endpoint(Request({**scope, "headers": headers}, receive)))
    assert caught.value.status_code == 413


def test_what_the_documentation_shows_works(url, loaded):
    blocks = re.findall(r"```(bash|python)\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    ran = []
    for language, code in blocks:
        if "7860/" not in code and "HOST=" not in code or "webUI.py" in code:
            continue
        code = code.replace("http://127.0.0.1:7860", url)
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "error" not in done.stdout
        ran.append(language)
        if "/convert" in code:
            assert "song_12key_anna_glow_swift-f0" in done.stdout
    assert ran == ["python", "bash", "bash", "bash"]
    assert soundfile.info("bridge.wav").samplerate == 48000
    assert soundfile.info("script.flac").format == "FLAC"


def test_a_song_is_converted_as_the_command_line_does_and_a_diffusion_model_refines(loaded, tmp_path):
    from inference.converter import Converter

    options = {"wav_format": "wav", "noise_scale": 0.2}
    result = loaded.predict(handle_file("raw/歌 one.wav"), "花子", 3, options, api_name="/convert")
    assert Path(result).name == "歌 one_3key_花子_glow_swift-f0_ns0.2.wav"
    options |= {"model_path": MODEL, "config_path": "trained/anna/config.json"}
    Converter(ConvertOptions(**options)).convert("raw/歌 one.wav", tmp_path / "own.wav", "花子", 3)
    np.testing.assert_array_equal(soundfile.read(result)[0], soundfile.read(tmp_path / "own.wav")[0])
    model = {"diffusion_model_path": "logs/44k/diffusion/model_8.pt"}  # its configuration is found beside it
    options = {**model, "shallow_diffusion": True, "diffusion_speedup": 50}
    result = loaded.predict(handle_file("raw/song.wav"), "anna", 0, options, api_name="/convert")
    assert Path(result).name == "song_0key_anna_glowdiff_swift-f0_speedup50.flac"
    loaded.predict(api_name="/unload")


def test_an_instant_voice_is_loaded_or_refused_in_a_line(loaded, tmp_path):
    (tmp_path / "text.wav").write_text("this is no sound")
    soundfile.write(tmp_path / "anna.wav", tone(3.0), RATE)
    for name, words in ((None, "upload a recording"), ("text.wav", "^text.wav cannot be read as sound")):
        with pytest.raises(AppError, match=words):
            loaded.predict(name and handle_file(tmp_path / name), {}, api_name="/instant")
    answer = loaded.predict(handle_file(tmp_path / "anna.wav"), {}, api_name="/instant")
    assert answer["speakers"] == ["anna"] and answer["model_path"].startswith("logs/instant/anna-")
    assert "_anna_glow_" in loaded.predict(handle_file("raw/song.wav"), "", api_name="/convert")


def test_a_wrong_request_is_one_line_and_the_server_stays_usable(loaded, tmp_path):
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    song, outside = "raw/song.wav", "is not in the project folder"
    for name, speaker, options, words in (
        (song, "anna", {"model_path": "/etc/hostname"}, outside),
        (song, "anna", {"config_path": "../elsewhere.json"}, outside),
        (song, "anna", {"cluster_model_path": "/etc/passwd", "cluster_infer_ratio": 1}, outside),
        (song, "anna", {"spk_mix_file": "~/../../etc/passwd"}, outside),
        (song, "anna", {"config_path": "/tmp/a\x00b"}, "contains control characters"),
        (song, "anna", {"noise_scale": 9}, "-ns must be between 0 and 2"),
        (song, "anna", {"noise_scale": "much"}, "is not a valid value"),
        (song, "anna", {"auto_predict_f0": "yes"}, "is not a valid value"),
        (song, "anna", {"<colour>": 1}, "there is no option '&lt;colour&gt;'"),
        (song, "anna", {"wav_format": "exe"}, "cannot write 'exe' files"),
        (song, "anna", {"f0_predictor": "ear"}, "ear"),
        (song, "bob", {}, "bob"),
        (tmp_path / "text.wav", "anna", {}, "cannot be read as sound"),
        (tmp_path / "empty.wav", "anna", {}, "is empty"),
        (None, "anna", {}, "choose a song first"),
        (song, "anna", {"device": "toaster"}, "unknown device"),  # frees the loaded model first
    ):
        with pytest.raises(AppError, match=re.escape(words)) as caught:
            loaded.predict(name and handle_file(name), speaker, 0, options, api_name="/convert")
        assert "\n" not in str(caught.value)
    loaded.predict(MODEL, api_name="/load")
    assert loaded.predict(handle_file(song), "anna", api_name="/convert")


def test_a_hostile_model_runs_nothing_and_no_file_of_the_machine_can_be_read(client, url, tmp_path):
    folder, trace = Path("trained/evil"), Path("trace").resolve()
    folder.mkdir(parents=True)
    write_payload(folder / "G_1.pth", "pickle", trace)
    (folder / "config.json").write_bytes(Path("trained/anna/config.json").read_bytes())
    with pytest.raises(AppError, match="os.system"):
        client.predict("trained/evil/G_1.pth", api_name="/load")
    assert not trace.exists()
    (tmp_path / "secret.wav").write_bytes(wav(0.2))
    for path in ("/etc/passwd", str(tmp_path / "secret.wav"), "trained/anna/config.json", "../../etc/passwd"):
        assert httpx.get(f"{url}/gradio_api/file={path}").status_code in (403, 404)
    song = {"path": str(tmp_path / "secret.wav"), "meta": {"_type": "gradio.FileData"}}
    body = {"data": [song, "anna", 0, {}]}
    event = httpx.post(f"{url}/gradio_api/call/convert", json=body).json()["event_id"]
    answer = httpx.get(f"{url}/gradio_api/call/convert/{event}", timeout=30).text
    assert "event: error" in answer and "secret_0key" not in answer


def test_a_bridge_gets_a_wav_file_at_its_own_rate_and_a_script_its_format(loaded, url):
    form = {"fSafePrefixPadLength": "0.5", "fPitchChange": "12.0", "sSpeakId": "1.0"}
    for rate in (22050, 44100, 48000):
        sample = {"sample": ("sample.wav", wav(1.0))}
        answer = post(url, "voiceChangeModel", sample, **form, sampleRate=f"{rate}.0")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "audio/wav"
        with soundfile.SoundFile(io.BytesIO(answer.content)) as file:
            assert file.samplerate == len(file.read()) == rate
            assert "Voice conversion by Glow-SVC" in file.comment
            assert "花子" in file.comment and "+12" in file.comment
    song = {"audio": ("a/../歌.wav", wav(1.0))}
    answer = post(url, "wav2wav", song, tran="-2", spk="anna", wav_format="flac")
    assert answer.status_code == 200, answer.text
    assert soundfile.info(io.BytesIO(answer.content)).format == "FLAC"
    assert "%E6%AD%8C_-2key_anna_glow_swift-f0.flac" in answer.headers["content-disposition"]
    assert not list(Path("results").glob("歌_-2key*"))


def test_a_wrong_form_is_one_line(loaded, url):
    song = ("s.wav", wav(0.1))
    for route, files, form, words in (
        ("voiceChangeModel", None, {"fPitchChange": "0"}, "no file 'sample'"),
        ("voiceChangeModel", {"sample": ("s.wav", b"")}, {}, "0 bytes"),
        ("voiceChangeModel", {"sample": ("s.wav", b"no sound")}, {}, "cannot be read as sound"),
        ("voiceChangeModel", {"sample": song}, {"fPitchChange": "high"}, "must be a number"),
        ("voiceChangeModel", {"sample": song}, {"fPitchChange": "nan"}, "must be a number"),
        ("voiceChangeModel", {"sample": song}, {"sampleRate": "1"}, "between 8000"),
        ("voiceChangeModel", {"sample": song}, {"fPitchChange": "1e8"}, "-60 and 60"),
        ("voiceChangeModel", {"sample": song}, {"sSpeakId": "7"}, "7"),
        ("wav2wav", None, {"audio_path": "/etc/passwd"}, "upload the file itself"),
        ("wav2wav", {"audio": song}, {"wav_format": "../x"}, "cannot write"),
        ("wav2wav", {"audio": song}, {"tran": "99", "spk": "anna"}, "-60 and 60"),
    ):
        answer = post(url, route, files, **form)
        assert answer.status_code == 400
        assert words in answer.json()["detail"] and "\n" not in answer.json()["detail"]
    loaded.predict(api_name="/unload")
    answer = post(url, "voiceChangeModel", {"sample": song})
    assert answer.status_code == 400 and "no voice model is loaded" in answer.json()["detail"]


def test_requests_are_queued_and_no_result_replaces_another(loaded, tmp_path):
    """Three songs of the same name, one of them twice with another -ns."""
    jobs = []
    for number, hz in enumerate((220.0, 330.0, 330.0)):
        song = tmp_path / str(number) / "same.wav"
        song.parent.mkdir()
        soundfile.write(song, tone(1.0, hz), RATE)
        options = {"wav_format": "wav", "noise_scale": 0.4 if number < 2 else 0.9}
        jobs.append(loaded.submit(handle_file(song), "anna", 0, options, api_name="/convert"))
    assert len({Path(job.result()).read_bytes() for job in jobs}) == 3
    found = {path.name for path in Path("results").glob("same*")}
    assert found == {f"same_0key_anna_glow_swift-f0{ending}.wav" for ending in ("", " (2)", "_ns0.9")}
    assert not busy(loaded)


def test_cancelling_and_disconnecting_free_the_model(loaded, url):
    soundfile.write("raw/long.wav", np.tile(tone(5.0), 120), RATE)
    song, named = handle_file("raw/long.wav"), {"model_path": MODEL}  # busy() unloads it otherwise
    job = loaded.submit(song, "anna", 0, named, api_name="/convert")
    wait_until(lambda: busy(loaded))
    job.cancel()
    wait_until(lambda: not busy(loaded))

    # a bridge that gives up
    loaded.predict(MODEL, api_name="/load")
    with open("raw/long.wav", "rb") as file, pytest.raises(httpx.HTTPError):
        httpx.post(f"{url}/voiceChangeModel", files={"sample": file}, timeout=httpx.Timeout(60, read=1))
    wait_until(lambda: not busy(loaded))
    assert not [name for name in os.listdir("results") if name.startswith(("long", "."))]
    assert loaded.predict(handle_file("raw/song.wav"), "anna", 0, named, api_name="/convert")


def test_a_long_line_answers_429(loaded, url):
    soundfile.write("raw/long.wav", np.tile(tone(5.0), 120), RATE)
    named = {"model_path": MODEL}
    job = loaded.submit(handle_file("raw/long.wav"), "anna", 0, named, api_name="/convert")
    wait_until(lambda: busy(loaded))

    async def ask_at_once():
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=60) as programs:
            ask = partial(programs.post, f"{url}/voiceChangeModel", files={"sample": ("s.wav", wav(0.1))})
            asked = {asyncio.create_task(ask()) for _ in range(40)}
            answered: list[httpx.Response] = []
            while len(answered) < 40 - (LONGEST_LINE - 1):
                done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=60)
                answered += [task.result() for task in done]
                assert done
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)
            return answered

    for answer in asyncio.run(ask_at_once()):
        assert answer.status_code == 429 and "try again later" in answer.json()["detail"]
    job.cancel()
    wait_until(lambda: not busy(loaded))


def test_a_password_is_required(tmp_path):
    with running(make_project(tmp_path), "--auth", "anna:söcret") as url:
        assert httpx.get(f"{url}/gradio_api/info").status_code == 401
        assert httpx.post(f"{url}/gradio_api/call/models", json={"data": []}).status_code == 401
        for auth in (None, ("anna", "wrong"), ("anna", "")):
            assert httpx.post(f"{url}/voiceChangeModel", auth=auth).status_code == 401
        assert httpx.post(f"{url}/voiceChangeModel", auth=("anna", "söcret")).status_code == 400
        own = Client(url, auth=("anna", "söcret"), verbose=False)
        assert own.predict(api_name="/models") == [MODEL]
