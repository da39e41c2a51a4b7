"""Adaptation of a voice to half a minute of recordings."""

import torch

from model_tools.adapt import adapt
from model_tools.instant import make_instant_voice
from models import GlowSVC
from modules.checkpoint import model_state
from modules.config import load_config, parse_config
from modules.dsp.audio import write_audio
from modules.dsp.mel import LogMel
from tests.support.golden_cases import voice
from tests.support.scripts import CONFIG


def test_the_recordings_become_likelier_and_twice_the_same_is_the_same(reference_base, tmp_path):
    for number, pitch in enumerate((200.0, 230.0)):
        write_audio(tmp_path / "anna" / f"{number}.wav", voice(2.0, 44100, pitch), 44100)
    again, paths = tmp_path / "again", {}
    for steps, folder in ((0, tmp_path), (40, tmp_path), (40, again)):
        paths[steps, folder] = make_instant_voice(tmp_path / "anna", folder, reference_base, steps=steps)
    assert len({path.parent.name for path in paths.values()}) == 2
    states = {key: model_state(path) for key, path in paths.items()}
    for name, tensor in states[40, tmp_path].items():
        assert torch.equal(tensor, states[40, again][name])
        if not name.startswith(("flow.", "emb_g.")):  # the text encoder keeps all its sounds
            assert torch.equal(tensor, states[0, tmp_path][name]), name

    config = load_config(paths[0, tmp_path].with_name("config.json"))
    mel = LogMel(config.data)(torch.from_numpy(voice(2.0, 44100, 215.0)).float()[None])
    n = mel.size(2)
    speech = torch.zeros(1, config.model.ssl_dim, n), torch.full((1, n), 215.0), torch.ones(1, n)
    losses = []
    for state in (states[0, tmp_path], states[40, tmp_path]):
        model = GlowSVC(config.model).eval()
        model.load_state_dict(state)
        with torch.no_grad():
            output = model(*speech, mel, torch.tensor([n]), torch.zeros(1, dtype=torch.int64))
        losses.append(float(GlowSVC.losses(output)["mle"]))
    assert losses[1] < losses[0] - 0.1, losses


def test_no_steps_change_nothing():
    config = parse_config(CONFIG)
    torch.manual_seed(0)
    model = GlowSVC(config.model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapt(model, [], config, steps=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
