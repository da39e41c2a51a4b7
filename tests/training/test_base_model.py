from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from models import GlowSVC
from modules.checkpoint import load_weights, model_state, write_checkpoint
from modules.common.files import write_json
from modules.config import Config, load_config, read_json
from modules.pretrained.starter import STARTER_ENCODER, starter_sizes
from training import base_model as base
from training.tasks.glow import GlowTask

TABLES = GlowTask.speaker_tables
TEMPLATE = Path(__file__).parents[2] / "configs_template" / "config_tiny_template.json"


@pytest.fixture
def config(tmp_path) -> Config:
    """What step 2 makes with --tiny and the encoder of the starter kit."""
    values = read_json(TEMPLATE)
    values["model"] |= starter_sizes(STARTER_ENCODER)
    write_json(tmp_path / "config.json", {**values, "spk": {"anna": 0}})
    return load_config(tmp_path / "config.json")


def task_of(module: nn.Module, spk=None) -> SimpleNamespace:
    """What fit_base needs of a task."""
    optional = GlowTask.optional_parts
    config = SimpleNamespace(spk=spk or {})
    return SimpleNamespace(model=module, config=config, speaker_tables=TABLES, optional_parts=optional)


def test_new_speakers_are_the_average_of_the_base_and_tables_of_another_kind_stay():
    module = nn.ModuleDict({"emb_g": nn.Embedding(2, 3), "pre": nn.Linear(3, 3)})
    own = {name: value.clone() for name, value in module.state_dict().items()}
    table = torch.arange(12.0).reshape(4, 3).half()
    state = {**own, "emb_g.weight": table, "spk_emb.weight": torch.ones(4, 5)}
    task = task_of(module, {"b": 0, "c": 1})
    fit, notes = base.fit_base(task, state)
    load_weights(module, fit, "G_0.pth")
    assert notes == ["b and c as the average of its speakers"]
    assert module.emb_g.weight.tolist() == [[4.5, 5.5, 6.5]] * 2
    assert state["emb_g.weight"] is table  # what was read is left as it was
    for strange in (torch.ones(4, 5), torch.ones(0, 3), torch.ones(3), torch.tensor(1.0)):
        fit, notes = base.fit_base(task, {**own, "emb_g.weight": strange})
        assert notes == ["emb_g.weight from scratch"] and fit["emb_g.weight"].shape == (2, 3)
    same = {**own, "emb_g.weight": table[:2]}
    assert base.fit_base(task, same) == (same, [])
    fit, notes = base.fit_base(task, same, {"a": 0, "b": 1})  # c must not get the row of a
    assert notes == ["b as in it; c as the average of its speakers"]
    assert fit["emb_g.weight"].tolist() == [[3, 4, 5], [1.5, 2.5, 3.5]]


def test_parts_that_only_one_of_both_has():
    with_parts = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("pre", "emb_vol", "f0_decoder")})
    without = nn.ModuleDict({"pre": nn.Linear(2, 2)})
    fit, notes = base.fit_base(task_of(with_parts), without.state_dict())
    load_weights(with_parts, fit, "G_0.pth")
    assert notes == ["emb_vol and f0_decoder from scratch"]
    fit, notes = base.fit_base(task_of(without), with_parts.state_dict())
    load_weights(without, fit, "G_0.pth")
    assert notes == ["without its emb_vol and f0_decoder"]


def test_auto_is_the_starter_where_it_fits(config, workspace, tmp_path, monkeypatch, caplog):
    model, state = GlowSVC(config.model), model_state(base.STARTER)
    task = task_of(model, config.spk)
    task.config, task.training_set = config, SimpleNamespace(clips=[Path("dataset/44k/anna/0.wav")])
    fit, notes = base.fit_base(task, state)
    load_weights(model, fit, base.STARTER)
    assert notes == ["anna as heard in the recordings"]
    assert sum(path.stat().st_size for path in base.STARTER.parent.iterdir()) < 40e6  # the kit in all

    def auto(encoder=STARTER_ENCODER):
        return base.find_fitting_base(task, encoder)

    assert auto("mfcc") is None and auto() == base.STARTER and not caplog.messages
    monkeypatch.setattr(base, "STARTER", tmp_path / "base.safetensors")
    assert auto() is None
    assert "training from scratch instead of the base model: --base: there is no" in caplog.text
    write_checkpoint(base.STARTER, {"model": {"w": torch.ones(2)}})
    assert auto() is None and "does not fit" in caplog.text
