"""A tiny project with everything that the page shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
