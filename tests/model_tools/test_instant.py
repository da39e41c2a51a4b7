"""--reference: a voice without training."""

import numpy as np
import pytest
import soundfile

import inference_main
import realtime
from inference.options import ConvertOptions
from model_tools import instant
from modules.common.errors import ConfigError
from modules.config import load_config
from modules.dsp.audio import write_audio
from tests.support.golden_cases import voice


@pytest.fixture
def call(script, reference_base, tmp_path, monkeypatch):
    """A script, where a base model takes recordings; there is a song."""
    monkeypatch.setattr(instant, "STARTER", reference_base)
    write_audio(tmp_path / "raw" / "song.wav", voice(1.0, 44100, 300.0), 44100)
    return script


def test_a_song_is_converted_into_the_voice_of_a_recording(call, tmp_path):
    sound = np.stack([voice(3.0, 22050, 220.0)] * 2, 1)
    soundfile.write(tmp_path / "anna.flac", sound, 22050)
    for _ in range(2):  # the second finds the model
        done = call(inference_main.main, "--reference", "anna.flac", "-n", "song", "-wf", "wav")
        assert done.code == 0 and "has no effect" not in done.said
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["song_0key_anna_glow_swift-f0.wav"]
    (model,) = (tmp_path / "logs" / "instant").glob("anna-*/G_instant.pth")
    assert load_config(model.with_name("config.json")).spk == {"anna": 0}
    assert call(inference_main.main, "-m", model, "-n", "song", "-t", 1).code == 0


def test_a_folder_of_recordings_is_heard_up_to_half_a_minute(call, tmp_path, monkeypatch):
    monkeypatch.setattr(instant, "LONGEST", 3.6)
    for number in range(4):
        clip = np.concatenate([np.zeros(8000), voice(1.0, 8000, 200.0 + number)]).astype(np.float32)
        write_audio(tmp_path / "bob" / f"{number}.wav", clip, 8000)
    first = instant.make_instant_voice(tmp_path / "bob")
    (tmp_path / "bob" / "3.wav").unlink()  # not heard
    assert instant.make_instant_voice(tmp_path / "bob") == first
    (tmp_path / "bob" / "2.wav").unlink()
    assert instant.make_instant_voice(tmp_path / "bob").parent != first.parent
    assert load_config(first.with_name("config.json")).spk == {"bob": 0}


def test_a_stream_is_converted_into_the_voice_of_a_recording(call, tmp_path):
    write_audio(tmp_path / "anna.wav", voice(3.0, 44100, 220.0), 44100)
    files = ("--input", "raw/song.wav", "--output", "out.wav")
    done = call(realtime.main, "--reference", "anna.wav", *files)
    assert done.code == 0 and soundfile.info(tmp_path / "out.wav").frames > 40000


def test_what_cannot_be_is_said_in_a_line(call, tmp_path):
    write_audio(tmp_path / "short.wav", voice(1.0, 44100, 220.0), 44100)
    (tmp_path / "text.wav").write_text("no sound")
    asked = (inference_main.main, "-n", "song", "--reference")
    for reference, message in (("short.wav", "1.0 s of sound"), ("text.wav", "text.wav"), ("gone", "gone")):
        assert call(*asked, reference).is_mistake(message)
    for flag, *value in (("--onnx", "folder"), ("-od",), ("-m", "G.pth"), ("-c", "config.json")):
        assert call(*asked, "anna.wav", flag, *value).is_mistake(f"remove {flag}")
    with pytest.raises(ConfigError, match="remove --onnx"):
        ConvertOptions(reference="anna.wav", onnx="folder")
    wrong = call(inference_main.main, "-m", "base/base.safetensors", "-n", "song", "-s", "anna")
    assert wrong.is_mistake("It seems to be a Glow-SVC base model, for --reference")
