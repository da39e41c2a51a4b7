"""A tiny project with everything that the page shows, and its server."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.webui.server import running

ROOT = Path(__file__).resolve().parents[2]
SINGER, SONG = "sofia", "my song 歌.wav"


def make_project(folder: Path) -> Path:
    """Write recordings, features, a training configuration, models and a song; return the folder."""
    import soundfile

    import preprocess_flist_config
    import preprocess_hubert_f0
    import resample
    from synthetic_voice import SINGERS, compose, sing, write_dataset
    from tests.inference.tiny import write_diffusion, write_model

    folder.mkdir(parents=True, exist_ok=True)
    list(write_dataset(folder / "dataset_raw", [SINGER, "bruno"], 30.0, seed=1))
    voice = SINGERS["bruno"]
    song = sing(compose(voice, 6.0, 7), voice, seed=7).audio
    (folder / "raw").mkdir()
    soundfile.write(folder / "raw" / SONG, song, 44100)
    write_model(folder / "trained/anna")
    write_model(folder / "trained/花子")
    write_diffusion(folder / "logs/44k/diffusion")
    (folder / "trained/broken").mkdir()
    (folder / "trained/broken/G_1.pth").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert resample.main([]) == 0
        assert preprocess_flist_config.main(["--speech_encoder", "mfcc", "--vocoder", "world", "--tiny"]) == 0
        assert preprocess_hubert_f0.main(["--device", "cpu"]) == 0
    config = folder / "configs/config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["train"] |= {"eval_interval": 6, "log_interval": 1, "batch_size": 2, "max_speclen": 64}
    config.write_text(json.dumps(values), encoding="utf-8")
    return folder


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run webUI.py in ``folder``; yields its address. At the end the scripts that it started are killed."""
    try:
        with running(folder, OMP_NUM_THREADS="1", PYTHONUTF8="1") as address:
            yield address
    finally:
        end_all(folder)


def end_all(folder: Path) -> None:
    """Kill the scripts that still run in ``folder``, by their records."""
    for record in (folder / "logs/webui").glob("*.json"):
        values = json.loads(record.read_text(encoding="utf-8"))
        with suppress(psutil.Error):
            process = psutil.Process(values["pid"])
            if abs(process.create_time() - values["born"]) < 2:
                process.kill()


def find_chromium() -> str | None:
    """Chromium from the variable CHROMIUM, or Debian's."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
