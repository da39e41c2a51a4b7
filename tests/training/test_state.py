import pytest
import torch
from torch import nn

from training.state import resume_optimizer, rng_state, set_rng_state

CPU = torch.device("cpu")


def trained(fused: bool, shape=(3,)) -> torch.optim.Adam:
    parameter = nn.Parameter(torch.ones(shape))
    optimizer = torch.optim.Adam([parameter], lr=0.1, fused=fused)
    parameter.grad = torch.ones(shape)
    optimizer.step()
    return optimizer


def fresh(shape=(3,)) -> torch.optim.Adam:
    return torch.optim.Adam([nn.Parameter(torch.ones(shape))], lr=0.5, betas=(0.5, 0.6), fused=True)


def test_moments_come_from_the_file_and_settings_from_the_configuration():
    saved = trained(fused=False).state_dict()
    # as older versions of torch left it; the fused kernel counts in float32, on the parameters' device
    saved["state"][0]["step"] = saved["state"][0]["step"].double()
    optimizer = fresh()
    resume_optimizer(optimizer, saved, "G_1.pth")
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["fused"]) == (0.5, (0.5, 0.6), True)
    (state,) = optimizer.state.values()
    assert state["step"].dtype == torch.float32 and state["step"] == 1
    assert torch.equal(state["exp_avg"], saved["state"][0]["exp_avg"])
    group["params"][0].grad = torch.ones(3)
    optimizer.step()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_count_of_steps_goes_to_the_gpu_with_its_parameters():
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(3, device="cuda"))], fused=True)
    resume_optimizer(optimizer, trained(fused=False).state_dict(), "G_1.pth")
    (state,) = optimizer.state.values()
    assert state["step"].device.type == "cuda"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "compressed"),
        ({"state": {}, "param_groups": [{"params": [0]}]}, "compressed"),
        (trained(True, shape=(4,)).state_dict(), "of another model"),
        ({"state": {7: {"exp_avg": torch.ones(3)}}, "param_groups": [{"params": [0]}]}, "of another model"),
        (
            {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"params": [0, 1]}]},
            "of another model",
        ),
        ({"state": {0: {"exp_avg": torch.ones(3)}}}, "of another model"),
    ],
)
def test_moments_that_do_not_fit_start_anew_and_that_is_said(caplog, state, words):
    optimizer = fresh()
    resume_optimizer(optimizer, state, "G_1.pth")
    assert not optimizer.state and "G_1.pth" in caplog.text and words in caplog.text


def test_chance_goes_on_where_it_was():
    state = rng_state(CPU)
    drawn = torch.rand(4)
    set_rng_state(CPU, state)
    assert torch.equal(torch.rand(4), drawn)
