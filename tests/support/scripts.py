"""Scripts called in an empty folder, or in one where steps 1 to 3 have run."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modules.common.files import write_json
from modules.dsp.audio import write_audio
from tests.support.golden_cases import voice

CONFIG: dict[str, Any] = {
    "train": {"max_steps": 2, "eval_interval": 2, "batch_size": 2, "max_speclen": 16},
    "model": {
        "hidden_channels": 16,
        "filter_channels": 16,
        "n_layers": 1,
        "n_flow_layer": 1,
        "n_flow_block_layer": 1,
        "gin_channels": 8,
        "ssl_dim": 12,
        "n_speakers": 1,
        "speech_encoder": "mfcc",
        "vocoder_name": "world",
    },
    "spk": {"anna": 0},
}


def configure(train=(), **model) -> None:
    """Write configs/config.json of a tiny voice model."""
    values = {**CONFIG, "train": CONFIG["train"] | dict(train), "model": CONFIG["model"] | model}
    Path("configs").mkdir(exist_ok=True)
    Path("configs/config.json").write_text(json.dumps(values))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Two clips through step 3, one for training."""
    import preprocess_hubert_f0

    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        configure()
        Path("filelists").mkdir()
        for index, name in enumerate(("train", "val")):
            clip = f"dataset/44k/anna/{index}.wav"
            write_audio(clip, voice(1.0, 44100, 220.0 * (1 + index)), 44100)
            Path(f"filelists/{name}.txt").write_text(clip)
        assert preprocess_hubert_f0.main(["--device", "cpu", "--use_diff"]) == 0
    return folder


@pytest.fixture
def workspace(prepared, tmp_path, monkeypatch):
    """A copy of the prepared folder."""
    shutil.copytree(prepared, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def reference_base(tmp_path):
    """A base model that takes recordings, with random weights, and its configuration."""
    import torch

    from models import ReferenceGlow
    from modules.checkpoint import write_checkpoint
    from modules.config import parse_config

    torch.manual_seed(0)
    path = tmp_path / "base" / "base.safetensors"
    path.parent.mkdir()
    write_json(path.with_name("config.json"), CONFIG)
    write_checkpoint(path, {"model": ReferenceGlow(parse_config(CONFIG).model).state_dict()})
    return path


class Outcome(NamedTuple):
    code: int
    out: str
    err: str
    log: str

    @property
    def said(self) -> str:
        return self.out + self.err + self.log

    def is_mistake(self, message: str) -> bool:
        """Whether the script ended with 2 and one line on stderr; of a bar no line is left."""
        shown = self.err.replace("\r", "\n").splitlines()
        lines = [line for line in shown if line.strip() and "|" not in line]
        assert (self.code, len(lines)) == (2, 1) and message in lines[0].replace("\\", "/"), self
        return True


@pytest.fixture
def script(tmp_path, monkeypatch, capsys, caplog):
    """Call the ``main`` of a script in an empty folder; return the outcome."""
    monkeypatch.chdir(tmp_path)

    def call(main, *args) -> Outcome:
        capsys.readouterr()
        caplog.clear()
        code = main([*map(str, args)])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err, caplog.text)

    return call
