"""A block as one operator computes what flow.py and wavenet.py do, and so does its gradient."""

import pytest
import torch

from modules.nn.flow import Flow
from modules.nn.masks import length_mask
from tests.modules.nn.test_flow import flow64


def results(flow, mel, lengths, g, in_one, monkeypatch):
    """Latent, log-determinants, and the gradients of an arbitrary loss by name."""
    mel, g = mel.clone().requires_grad_(), g.clone().requires_grad_()
    leaves = {"mel": mel, "g": g, **dict(flow.named_parameters())}
    monkeypatch.setattr(Flow, "_in_one_operator", lambda *_: in_one)
    z, logdet = flow(mel, length_mask(lengths, mel.size(2)).to(mel), g)
    loss = (z * torch.linspace(-1, 1, z.numel()).view_as(z)).sum() + (logdet * torch.arange(1, 3)).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return {"z": z.detach(), "logdet": logdet.detach(), **dict(zip(leaves, gradients, strict=True))}


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize(("changes", "tracks"), [({}, 1), ({"flow_share_parameter": True}, 12)])
def test_results_and_gradients_are_those_step_by_step(n_layers, changes, tracks, monkeypatch):
    flow = flow64(n_flow_layer=n_layers, **changes)
    inputs = torch.randn(2, 4, 12).double(), torch.tensor([12, 8]), torch.randn(2, 3, tracks).double()
    found, want = (results(flow, *inputs, in_one, monkeypatch) for in_one in (True, False))
    for name, value in want.items():
        assert value.abs().max() > 1e-3, name
        # float64: only the order of the sums differs
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9, msg=lambda m: f"{name}: {m}")  # noqa: B023


def test_half_precision_differs_by_rounding(monkeypatch):
    flow = flow64(n_flow_layer=2).float()
    inputs = torch.randn(2, 4, 12), torch.tensor([12, 8]), torch.randn(2, 3, 1)
    exact = results(flow, *inputs, False, monkeypatch)
    with torch.autocast("cpu", torch.bfloat16):
        plain, found = (results(flow, *inputs, in_one, monkeypatch) for in_one in (False, True))
    for name, value in exact.items():
        assert found[name].dtype == torch.float32
        off = [float((other[name] - value).norm() / value.norm()) for other in (plain, found)]
        assert off[1] < 2 * off[0] + 0.01, name  # bfloat16 has 8 bits; either is off by chance


def test_what_needs_no_gradient_runs_step_by_step(monkeypatch):
    flow, steps = flow64(), []
    for step in flow.flows:
        step.register_forward_hook(lambda *_: steps.append(1))
    x = torch.randn(1, 4, 4).double(), torch.ones(1, 1, 4).double(), torch.randn(1, 3, 1).double()
    z, logdet = flow(*x)
    assert not steps
    with torch.no_grad():
        torch.testing.assert_close(flow(*x), (z, logdet))
    assert len(steps) == len(flow.flows)
