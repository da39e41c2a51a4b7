"""Each command imports the large packages that it needs, and no others."""

import numpy as np
import soundfile

from modules.dsp.audio import write_audio
from tests.export.voices import export_once, rich
from tests.inference.tiny import write_model, write_song
from tests.support.golden_cases import voice
from tests.support.imports import heavy_imports


def main(script: str, *arguments: str) -> str:
    return f"import {script}; assert {script}.main({list(arguments)!r}) == 0"


def test_a_conversion_imports_pytorch_and_what_runs_the_graph_of_its_pitch(tmp_path):
    write_model(tmp_path)
    write_song(tmp_path / "song.wav", voice(1.0, 44100))
    code = main(
        "inference_main", *("-m", "G_8.pth", "-c", "config.json", "-n", "song.wav", "-s", "anna", "-d", "cpu")
    )
    assert heavy_imports(code, tmp_path) == {"torch", "onnxruntime"}
    assert list((tmp_path / "results").iterdir())


def test_steps_1_to_3_measure_loudness_with_scipy_and_only_the_last_imports_pytorch(tmp_path):
    write_audio(tmp_path / "dataset_raw/anna/1.wav", voice(1.0, 44100), 44100)
    write_audio(tmp_path / "dataset_raw/anna/2.wav", voice(1.0, 44100, 300.0), 44100)
    light = [
        main("resample", "--num_processes", "1"),
        main("preprocess_flist_config", "--tiny", "--speech_encoder", "mfcc", "--vocoder", "world"),
    ]
    assert heavy_imports("\n".join(light), tmp_path) == {"scipy"}
    assert heavy_imports(main("preprocess_hubert_f0", "--device", "cpu"), tmp_path) == {
        *("torch", "scipy", "onnxruntime")
    }
    assert len(list(tmp_path.rglob("*.mel.pt"))) == 2


def test_training_steps_import_pytorch_and_tensorboard(workspace):
    """A validation draws, so there is none here."""
    silent = "from training.loop import Trainer; Trainer._validate = lambda *_: None\n"
    code = silent + main("train", "-d", "cpu")
    assert heavy_imports(code, workspace) == {"torch", "tensorboard"}


def test_the_page_is_built_without_pytorch(tmp_path):
    code = (
        "from pathlib import Path; from webui.app import build; from webui.session import Session\n"
        "from webui.live.conversion import LiveSlot; from webui.editor.songs import OpenSongs\n"
        "session = Session(); build(Path.cwd(), session, LiveSlot(session), OpenSongs(session))"
    )
    # gradio itself imports pandas
    assert heavy_imports(code, tmp_path, GRADIO_ANALYTICS_ENABLED="False") == {"gradio", "pandas"}


def test_a_stream_of_an_exported_voice_imports_no_pytorch(tmp_path_factory, tmp_path):
    """The command, from an exported voice and a file to a file."""
    exported = export_once(tmp_path_factory, rich)
    write_song(tmp_path / "song.wav", voice(0.5, 44100))
    arguments = ("--onnx", str(exported.folder), "-s", "anna", "-t", "2", "--context", "200")
    code = main("realtime", *arguments, "--input", "song.wav", "--output", "result.wav")
    assert heavy_imports(code, tmp_path, GLOW_SVC_PRETRAIN=str(exported.pretrain)) == {"onnx", "onnxruntime"}
    audio, rate = soundfile.read(tmp_path / "result.wav")
    assert (len(audio), rate) == (22050, 44100) and np.abs(audio).max() > 0
