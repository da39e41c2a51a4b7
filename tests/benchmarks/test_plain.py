"""The plain Glow model is the published one, and agrees with the project's."""

import numpy as np
import pytest
import torch

from benchmarks import conversion
from benchmarks.training import step
from benchmarks.training.plain import PlainGlow, differences
from modules.config import Config, ModelConfig, TrainConfig
from tests.support.golden_cases import load_case
from tests.test_models import TINY, batch, song, tiny


@pytest.mark.parametrize("name", ["glow_train", "glow_plain"])
def test_loss_and_gradients_are_the_published_ones(name):
    case, inputs = load_case(name), load_case("glow_train")
    x = {key: torch.from_numpy(inputs[key]) for key in ("f0", "uv", "mel", "lengths")}
    model = PlainGlow(ModelConfig.parse(case.manifest["config"]))
    model.load_state_dict(case.state_dict())
    speaker = torch.from_numpy(inputs["sid"][:, 0]).long()
    volume = torch.from_numpy(inputs["vol"])
    loss = model(torch.from_numpy(inputs["c"]), **x, speaker_id=speaker, volume=volume)
    np.testing.assert_allclose(loss.detach(), case["loss_mle"][0], rtol=1e-5)  # the manifest's tolerance

    loss.backward()
    parameters = dict(model.named_parameters())
    for key, want in zip(case.manifest["grad_names"], case["grad_norm"], strict=True):
        gradient = parameters[key].grad
        if np.isnan(want):
            assert gradient is None, key
        else:
            # atol: a bias of the keys moves all scores of a query alike, its gradient is rounding
            np.testing.assert_allclose(gradient.norm(), want, rtol=1e-3, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("changes", [{}, {"n_sqz": 1, "vol_embedding": True}, {"n_layers": 2, "n_sqz": 4}])
@pytest.mark.parametrize("lengths", [(4, 4), (12, 8)])  # fewer frames than the window, and more
def test_the_model_agrees_with_it(changes, lengths):
    model = tiny(**changes)
    loss, gradients = differences(model, batch(model, lengths))
    assert loss < 1e-5 and gradients < 1e-4  # rounding in float32
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_difference_is_found():
    model, other = tiny(), tiny()
    with torch.no_grad():
        other.enc_p.enc_.attn_layers[0].emb_rel_v.mul_(1.1)
    b = batch(model, (12, 8))
    loss = PlainGlow.copy(other)(**b) - PlainGlow.copy(model)(**b)
    assert abs(float(loss.detach())) > 1e-5


@torch.inference_mode()
def test_conversion_agrees_with_it():
    model = tiny(vol_embedding=True)
    x = [*song(model, 12), torch.randn(1, 8, 12, generator=torch.Generator().manual_seed(0))]
    mel, _ = model.convert(*x)
    torch.testing.assert_close(PlainGlow.copy(model).infer(*x), mel, rtol=1e-5, atol=1e-5)


def test_variants_that_it_has_not_are_refused():
    model = tiny(use_depthwise_conv=True)
    with pytest.raises(RuntimeError, match="depth_conv"):
        PlainGlow.copy(model)


@pytest.fixture
def small(monkeypatch):
    """Benchmarks of one very small model, in one turn."""
    config = Config(model=TINY, train=TrainConfig(batch_size=2, max_speclen=8))
    for module in (step, conversion):
        monkeypatch.setattr(module, "REPEATS", 1)
        monkeypatch.setattr(module, "SIZES", {"small": "a template"})
        monkeypatch.setattr(module, "template", lambda size: config)
    monkeypatch.setattr(conversion, "FRAMES", 8)
    monkeypatch.setattr("benchmarks.machine._SIZE", 16)
    return config


def rows(capsys):
    lines = capsys.readouterr().out.splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]


def test_the_table_of_training_steps(small, capsys):
    step.main()
    header, *found = rows(capsys)
    assert header[2] == "form" and header[5] == "speed over plain float32"
    assert [row[2] for row in found] == [
        "plain, float32",
        "plain, bfloat16",
        "ours, float32",
        "ours, bfloat16",
    ]
    assert found[0][5] == "1.00×" and all(row[6].endswith("%") for row in found)


def test_the_table_is_not_printed_if_the_plain_form_computes_something_else(small, monkeypatch):
    monkeypatch.setattr(step, "differences", lambda *_: (0.0, 0.5))
    with pytest.raises(SystemExit, match="small: the plain form computes something else"):
        step.main()


def test_the_table_of_the_glow_model_in_conversion(small, capsys):
    conversion.print_glow()
    _, *found = rows(capsys)
    assert [row[1] for row in found] == ["plain, float32", "ours, float32", "ours, bfloat16"]
    assert float(found[0][4]) == 0 and float(found[1][4]) < 1e-5 and float(found[2][4]) < 0.1
