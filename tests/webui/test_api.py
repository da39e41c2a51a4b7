import asyncio
import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
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
from modules.common.errors import ConfigError
from tests.support.code_execution_payloads import write_payload
from tests.webui.server import MODEL, RATE, make_project, running, tone
from webui import uploads
from webui.api import requested_options, routes

DOCS = Path(__file__).parents[2] / "docs" / "webui.md"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    root = make_project(tmp_path_factory.mktemp("my 项目"))
    (root / "raw" / "song.wav").write_bytes((root / "raw" / "歌 one.wav").read_bytes())
    with running(root) as address, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield address


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


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


def test_another_model_replaces_all_options_of_the_loaded_one_but_its_device(tmp_path):
    glow = ConvertOptions(**GLOW, **COMMON)
    onnx = ConvertOptions(onnx="checkpoints/a", **COMMON)
    diffusion = ConvertOptions(only_diffusion=True, diffusion_config_path="c.yaml", **COMMON)
    other = {"onnx": "checkpoints/b"}
    for loaded, changes, added in (
        (onnx, GLOW, {}),
        (diffusion, GLOW, {}),
        (glow, other, {}),
        (glow, {**GLOW, "noise_scale": 0.3}, {}),
        (glow, ONLY_DIFFUSION, {"diffusion_config_path": "config.yaml"}),
        (diffusion, DIFFUSION, {"only_diffusion": True, "diffusion_config_path": "config.yaml"}),
    ):
        found = requested_options(tmp_path, SimpleNamespace(options=loaded), changes)
        assert found == ConvertOptions(**changes, **added, device="cpu")


def test_changes_apply_to_the_loaded_model(tmp_path):
    loaded = SimpleNamespace(options=ConvertOptions(**GLOW, **COMMON))
    changes = {"trans": 3, "shallow_diffusion": True, **DIFFUSION, "onnx": "", "model_path": ""}
    refined = {"shallow_diffusion": True, "diffusion_config_path": "config.yaml", **DIFFUSION}
    expected = ConvertOptions(**GLOW, **COMMON, **refined, trans=(3.0,))
    assert requested_options(tmp_path, loaded, changes) == expected
    with pytest.raises(ConfigError, match="no voice model is loaded"):
        requested_options(tmp_path, SimpleNamespace(options=None), {"model_path": ""})


def test_the_server_is_local_bounded_and_offers_only_documented_endpoints(client, url):
    assert url.startswith("http://127.0.0.1:")
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1", "::1"}
    for address in others:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((address, int(url.rpartition(":")[2]))) != 0
    assert uploads.LARGEST == httpx.get(f"{url}/config").json()["max_file_size"] == 2 * 2**30
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/models", "/load", "/unload", "/convert"}


def test_a_form_is_bounded(monkeypatch):
    monkeypatch.setattr("webui.api.LARGEST", 10)
    sent = {"type": "http.request", "body": b"more than ten bytes", "more_body": True}

    async def receive():
        return sent

    scope = {"type": "http", "method": "POST", "path": "/wav2wav", "query_string": b"", "root_path": ""}
    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    route = next(route for route in routes(Path(), None) if route.path == "/wav2wav")
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
            assert "song_12key_anna_glow_pm" in done.stdout
    assert ran == ["python", "bash", "bash", "bash"]
    assert soundfile.info("bridge.wav").samplerate == 48000
    assert soundfile.info("script.flac").format == "FLAC"


def test_a_song_is_converted_as_the_command_line_does(loaded, tmp_path):
    from inference.converter import Converter

    options = {"wav_format": "wav", "noise_scale": 0.2}
    result = loaded.predict(handle_file("raw/歌 one.wav"), "花子", 3, options, api_name="/convert")
    assert Path(result).name == "歌 one_3key_花子_glow_pm.wav"
    options |= {"model_path": MODEL, "config_path": "trained/anna/config.json"}
    Converter(ConvertOptions(**options)).convert("raw/歌 one.wav", tmp_path / "own.wav", "花子", 3)
    np.testing.assert_array_equal(soundfile.read(result)[0], soundfile.read(tmp_path / "own.wav")[0])


def test_a_diffusion_model_refines(loaded):
    model = {"diffusion_model_path": "logs/44k/diffusion/model_8.pt"}  # its configuration is found beside it
    options = {**model, "shallow_diffusion": True, "diffusion_speedup": 50}
    result = loaded.predict(handle_file("raw/song.wav"), "anna", 0, options, api_name="/convert")
    assert Path(result).name == "song_0key_anna_glowdiff_pm.flac"
    loaded.predict(api_name="/unload")


def test_a_wrong_option_is_one_line(loaded):
    for options, words in (
        ({"model_path": "/etc/hostname"}, "is not in the project folder"),
        ({"model_path": "../elsewhere.pth"}, "is not in the project folder"),
        ({"cluster_model_path": "/etc/passwd", "cluster_infer_ratio": 1}, "is not in the project folder"),
        ({"spk_mix_file": "~/../../etc/passwd"}, "is not in the project folder"),
        ({"noise_scale": 9}, "-ns must be between 0 and 2"),
        ({"noise_scale": "much"}, "is not a valid value"),
        ({"auto_predict_f0": "yes"}, "is not a valid value"),
        ({"colour": 1}, "there is no option 'colour'"),
        ({"wav_format": "exe"}, "cannot write 'exe' files"),
        ({"f0_predictor": "ear"}, "ear"),
        ({"device": "toaster"}, "unknown device"),
    ):
        with pytest.raises(AppError, match=re.escape(words)) as caught:
            loaded.predict(handle_file("raw/song.wav"), "anna", 0, options, api_name="/convert")
        assert "\n" not in str(caught.value)


def test_a_wrong_song_is_one_line_and_the_server_stays_usable(loaded, tmp_path):
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name, words in (("text.wav", "cannot be read as sound"), ("empty.wav", "is empty")):
        with pytest.raises(AppError, match=words):
            loaded.predict(handle_file(tmp_path / name), "anna", api_name="/convert")
    with pytest.raises(AppError, match="bob"):
        loaded.predict(handle_file("raw/song.wav"), "bob", api_name="/convert")
    assert loaded.predict(handle_file("raw/song.wav"), "anna", api_name="/convert")


def test_a_hostile_model_runs_nothing(client):
    folder, trace = Path("trained/evil"), Path("trace").resolve()
    folder.mkdir(parents=True)
    write_payload(folder / "G_1.pth", "pickle", trace)
    (folder / "config.json").write_bytes(Path("trained/anna/config.json").read_bytes())
    with pytest.raises(AppError, match="os.system"):
        client.predict("trained/evil/G_1.pth", api_name="/load")
    assert not trace.exists()


def test_no_file_of_the_machine_can_be_read(url, tmp_path):
    (tmp_path / "secret.wav").write_bytes(wav(0.2))
    for path in ("/etc/passwd", str(tmp_path / "secret.wav"), "trained/anna/config.json", "../../etc/passwd"):
        assert httpx.get(f"{url}/gradio_api/file={path}").status_code in (403, 404)
    body = {
        "data": [{"path": str(tmp_path / "secret.wav"), "meta": {"_type": "gradio.FileData"}}, "anna", 0, {}]
    }
    event = httpx.post(f"{url}/gradio_api/call/convert", json=body).json()["event_id"]
    answer = httpx.get(f"{url}/gradio_api/call/convert/{event}", timeout=30).text
    assert "event: error" in answer and "secret_0key" not in answer


def test_a_bridge_gets_a_wav_file_at_its_own_rate(loaded, url):
    for rate in (22050, 44100, 48000):
        answer = post(
            url,
            "voiceChangeModel",
            {"sample": ("sample.wav", wav(1.0))},
            fSafePrefixPadLength="0.5",
            fPitchChange="12.0",
            sSpeakId="1.0",
            sampleRate=f"{rate}.0",
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "audio/wav"
        audio, found = soundfile.read(io.BytesIO(answer.content))
        assert found == rate and len(audio) == rate
        with soundfile.SoundFile(io.BytesIO(answer.content)) as file:
            assert "Voice conversion by Glow-SVC" in file.comment
            assert "花子" in file.comment and "+12" in file.comment


def test_a_script_gets_its_format(loaded, url):
    answer = post(
        url, "wav2wav", {"audio": ("a/../歌.wav", wav(1.0))}, tran="-2", spk="anna", wav_format="flac"
    )
    assert answer.status_code == 200, answer.text
    assert soundfile.info(io.BytesIO(answer.content)).format == "FLAC"
    assert "%E6%AD%8C_-2key_anna_glow_pm.flac" in answer.headers["content-disposition"]
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
        ("voiceChangeModel", {"sample": song}, {"sSpeakId": "7"}, "7"),
        ("wav2wav", None, {"audio_path": "/etc/passwd"}, "upload the file itself"),
        ("wav2wav", {"audio": song}, {"wav_format": "../x"}, "cannot write"),
        ("wav2wav", {"audio": song}, {"tran": "99", "spk": "anna"}, "-60 and 60"),
    ):
        answer = post(url, route, files, **form)
        assert answer.status_code == 400
        assert words in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_without_a_model_it_says_how_to_load_one(client, url):
    client.predict(api_name="/unload")
    answer = post(url, "voiceChangeModel", {"sample": ("s.wav", wav(0.1))})
    assert answer.status_code == 400 and "no voice model is loaded" in answer.json()["detail"]


def test_several_requests_are_queued(loaded):
    options = {"wav_format": "wav"}
    jobs = [
        loaded.submit(handle_file("raw/song.wav"), "anna", key, options, api_name="/convert")
        for key in (1, 2, 3)
    ]
    names = {Path(job.result()).name for job in jobs}
    assert names == {f"song_{key}key_anna_glow_pm.wav" for key in (1, 2, 3)}
    assert not busy(loaded)


def _until(condition, seconds=90.0):  # patience with a busy machine; no measurement
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it tasks too long"
        time.sleep(0.02)


def test_cancelling_and_disconnecting_free_the_model(loaded, url):
    soundfile.write("raw/long.wav", np.tile(tone(5.0), 120), RATE)
    song, named = handle_file("raw/long.wav"), {"model_path": MODEL}  # busy() unloads it otherwise
    job = loaded.submit(song, "anna", 0, named, api_name="/convert")
    _until(lambda: busy(loaded))
    job.cancel()
    _until(lambda: not busy(loaded))

    # a page that is closed: its connection ends
    code = (
        "import sys; from gradio_client import Client, handle_file\n"
        f"Client({url!r}, verbose=False).predict(handle_file('raw/long.wav'), 'anna', 0, {named},"
        "api_name='/convert')"
    )
    page = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    _until(lambda: busy(loaded), 60)
    page.kill()
    page.wait()
    _until(lambda: not busy(loaded))

    # a bridge that gives up
    loaded.predict(MODEL, api_name="/load")

    def ask():
        with pytest.raises(httpx.HTTPError):
            with open("raw/long.wav", "rb") as song:
                httpx.post(
                    f"{url}/voiceChangeModel", files={"sample": song}, timeout=httpx.Timeout(60, read=1)
                )

    bridge = threading.Thread(target=ask)
    bridge.start()
    bridge.join()
    _until(lambda: not busy(loaded))
    assert not [name for name in os.listdir("results") if name.startswith(("long", "."))]
    assert loaded.predict(handle_file("raw/song.wav"), "anna", 0, named, api_name="/convert")


def test_a_password_is_required(tmp_path):
    with running(make_project(tmp_path), "--auth", "anna:söcret") as url:
        assert httpx.get(f"{url}/gradio_api/info").status_code == 401
        assert httpx.post(f"{url}/gradio_api/call/models", json={"data": []}).status_code == 401
        for auth in (None, ("anna", "wrong"), ("anna", "")):
            assert httpx.post(f"{url}/voiceChangeModel", auth=auth).status_code == 401
        assert httpx.post(f"{url}/voiceChangeModel", auth=("anna", "söcret")).status_code == 400
        own = Client(url, auth=("anna", "söcret"), verbose=False)
        assert own.predict(api_name="/models") == [MODEL]
