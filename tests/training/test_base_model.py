from pathlib import Path

import pytest
import torch
from torch import nn

from models import GlowSVC
from modules.checkpoint import load_weights, model_state, write_checkpoint
from modules.common.files import write_json
from modules.config import Config, load_config, read_json
from training import base_model as base
from training.tasks.glow import GlowTask

TABLES = GlowTask.speaker_tables
TEMPLATE = Path(__file__).parents[2] / "configs_template" / "config_tiny_template.json"


@pytest.fixture
def config(tmp_path) -> Config:
    """What step 2 makes with --tiny and ppg-starter."""
    values = read_json(TEMPLATE)
    values["model"] |= {"speech_encoder": "ppg-starter", "ssl_dim": 192, "vocoder_name": "world"}
    write_json(tmp_path / "config.json", {**values, "spk": {"anna": 0}})
    return load_config(tmp_path / "config.json")


def test_new_speakers_are_the_average_of_the_base_and_tables_of_another_kind_stay():
    module = nn.ModuleDict({"emb_g": nn.Embedding(2, 3), "pre": nn.Linear(3, 3)})
    own = {name: value.clone() for name, value in module.state_dict().items()}
    table = torch.arange(12.0).reshape(4, 3).half()
    state = {**own, "emb_g.weight": table, "spk_emb.weight": torch.ones(4, 5)}
    fit, average, new = base.fit_speakers(module, state, TABLES)
    load_weights(module, fit, "G_0.pth")
    assert (average, new) == (["emb_g.weight"], [])
    assert module.emb_g.weight.tolist() == [[4.5, 5.5, 6.5]] * 2
    assert state["emb_g.weight"] is table  # what was read is left as it was
    for strange in (torch.ones(4, 5), torch.ones(0, 3), torch.ones(3), torch.tensor(1.0)):
        fit, average, new = base.fit_speakers(module, {**own, "emb_g.weight": strange}, TABLES)
        assert (average, new) == ([], ["emb_g.weight"]) and fit["emb_g.weight"].shape == (2, 3)
    same = {**own, "emb_g.weight": table[:2]}
    assert base.fit_speakers(module, same, TABLES) == (same, [], [])


def test_auto_is_the_starter_where_it_fits(config, tmp_path, monkeypatch, caplog):
    model, state = GlowSVC(config.model), model_state(base.STARTER)
    fit, average, new = base.fit_speakers(model, state, TABLES)
    load_weights(model, fit, base.STARTER)
    assert (average, new) == (["emb_g.weight", "spk_emb.weight"], [])
    assert len(state["emb_g.weight"]) > 30 and base.STARTER.stat().st_size < 8e6
    assert torch.allclose(model.emb_g.weight, state["emb_g.weight"].float().mean(0), atol=1e-3)

    def auto(encoder="ppg-starter"):
        return base.find_fitting_base(model, encoder, GlowTask.speaker_tables)

    assert auto("mfcc") is None and auto() == base.STARTER and not caplog.messages
    monkeypatch.setattr(base, "STARTER", tmp_path / "base.safetensors")
    assert auto() is None
    assert "training from scratch instead of the base model: --base: there is no" in caplog.text
    write_checkpoint(base.STARTER, {"model": {"w": torch.ones(2)}})
    assert auto() is None and "does not fit" in caplog.text
