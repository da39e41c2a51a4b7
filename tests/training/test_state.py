import errno
import os
from dataclasses import replace

import pytest
import torch
from torch import nn

from modules.checkpoint import read_checkpoint, write_checkpoint
from modules.common.files import replacing
from tests.training.support.clips import with_train
from tests.training.support.runs import CPU, same, stop_at, trainer
from training.state import resume_optimizer, rng_state, set_rng_state
from training.tasks.glow import GlowTask


def trained_state(fused=False, shape=(3,)):
    parameter = nn.Parameter(torch.ones(shape))
    optimizer = torch.optim.Adam([parameter], lr=0.1, fused=fused)
    parameter.grad = torch.ones(shape)
    optimizer.step()
    return optimizer.state_dict()


def fresh(device="cpu") -> torch.optim.Adam:
    return torch.optim.Adam([nn.Parameter(torch.ones(3, device=device))], 0.5, (0.5, 0.6), fused=True)


no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, no_gpu])])
def test_moments_come_from_the_file_and_settings_from_the_configuration(device):
    saved = trained_state()
    # as older versions of torch left it; the fused kernel counts in float32, on the parameters' device
    saved["state"][0]["step"] = saved["state"][0]["step"].double()
    optimizer = fresh(device)
    resume_optimizer(optimizer, saved, "G_1.pth")
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["fused"]) == (0.5, (0.5, 0.6), True)
    (state,) = optimizer.state.values()
    assert state["step"].dtype == torch.float32 and state["step"] == 1
    assert state["step"].device.type == device
    assert torch.equal(state["exp_avg"].cpu(), saved["state"][0]["exp_avg"])
    group["params"][0].grad = torch.ones(3, device=device)
    optimizer.step()


MOMENTS = {0: {"exp_avg": torch.ones(3)}}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "compressed"),
        ({"state": {}, "param_groups": [{"params": [0]}]}, "compressed"),
        (trained_state(True, shape=(4,)), "of another model"),
        ({"state": {7: MOMENTS[0]}, "param_groups": [{"params": [0]}]}, "of another model"),
        ({"state": MOMENTS, "param_groups": [{"params": [0, 1]}]}, "of another model"),
        ({"state": MOMENTS}, "of another model"),
    ],
)
def test_moments_that_do_not_fit_are_reset_with_a_warning(caplog, state, words):
    optimizer = fresh()
    resume_optimizer(optimizer, state, "G_1.pth")
    assert not optimizer.state and "G_1.pth" in caplog.text and words in caplog.text


@pytest.mark.parametrize("name", ["G_0.pth", "G_0.safetensors"])
def test_a_named_base_model_has_priority_over_the_folders_which_stays_but_not_over_the_run(
    clips, tmp_path, name
):
    trainer(clips, tmp_path / "base", with_train(max_steps=3)).run()
    named, folder = tmp_path / "base" / "G_3.pth", tmp_path / "run"
    config = with_train(max_steps=2, keep_ckpts=1)
    in_folder = GlowTask(config, clips, clips, CPU).model.state_dict()
    write_checkpoint(folder / name, {"model": in_folder, "optimizer": None, "iteration": 0})
    before = (folder / name).read_bytes()
    run = trainer(clips, folder, config)
    assert not run.state.fresh and same(run.state.model.state_dict(), in_folder)
    run = trainer(clips, folder, config, base=named)
    assert run.progress.step == 0 and same(run.state.model.state_dict(), read_checkpoint(named)["model"])
    run.run()
    assert run.checkpoints.steps() == [0, 2] and (folder / name).read_bytes() == before
    assert trainer(clips, folder, config, base=named).progress.step == 2


def test_a_run_from_a_base_model_has_settings_of_its_own_also_when_it_is_continued(clips, tmp_path):
    own = {"learning_rate": 1e-3, "perturb_ratio": 0.6, "unit_noise": 0.25}
    config = replace(with_train(max_steps=4), fine_tuning=own)

    def settings(folder, config=config, base=None, stop=0):
        run = trainer(clips, tmp_path / folder, config, base=base)
        if stop:
            stop_at(run, stop)
        seen = run.task.training_set.config.train
        assert run.task.entries(1, 1)["learning_rate"] == run.config.learning_rate == seen.learning_rate
        return {name: getattr(seen, name) for name in own}

    scratch = {name: getattr(config.train, name) for name in own}
    assert [settings("base", stop=2), settings("base")] == [scratch] * 2
    more = replace(config, model=replace(config.model, n_speakers=3), spk={"0": 0, "a": 1, "b": 2})
    found = [settings("run", base=tmp_path / "base" / "G_2.pth", stop=2), settings("run")]
    assert [*found, settings("run", more)] == [own] * 3


def test_added_speakers_are_in_the_newest_and_the_best_checkpoint_before_anything_else(clips, tmp_path):
    trainer(clips, tmp_path, with_train(max_steps=10)).run()
    newest, best = tmp_path / "G_10.pth", tmp_path / "G_best.pth"
    before = read_checkpoint(newest)["model"]
    config = with_train(max_steps=10)
    more = replace(config, model=replace(config.model, n_speakers=3), spk={"0": 0, "a": 1, "b": 2})
    run = trainer(clips, tmp_path, more)
    for path in (newest, best):
        content = read_checkpoint(path)
        for name in GlowTask.speaker_tables:
            assert torch.equal(content["model"][name][1:], before[name])
            torch.testing.assert_close(content["model"][name][0], before[name].mean(0))
        assert content["spk"] == more.spk
    assert (run.progress.step, run.progress.start) == (10, 10) and not run.is_over()
    run.run()
    assert run.progress.step == 20


def test_a_run_whose_configuration_gets_a_prenet_goes_on_as_it_was(clips, tmp_path):
    trainer(clips, tmp_path, with_train(max_steps=10)).run()
    config = with_train(max_steps=10)
    more = replace(config, model=replace(config.model, prenet_channels=8))
    before = read_checkpoint(tmp_path / "G_10.pth")["model"]
    run = trainer(clips, tmp_path, more)
    for path in (tmp_path / "G_10.pth", tmp_path / "G_best.pth"):
        found = read_checkpoint(path)["model"]
        assert found.keys() == run.task.model.state_dict().keys() > before.keys()
        assert not found["prenet.proj.weight"].any()  # it adds nothing
    assert same({name: run.task.model.state_dict()[name] for name in before}, before)
    run.run()
    assert run.progress.step == 20
    assert trainer(clips, tmp_path, more).progress.step == 20


def test_a_full_disk_keeps_the_last_good_checkpoint(clips, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a disk that is always full")
    run = trainer(clips, tmp_path)
    with replacing(run.checkpoints.path(20)) as temporary:  # learn its name
        temporary.touch()
    run.checkpoints.path(20).unlink()
    temporary.symlink_to("/dev/full")
    with pytest.raises(OSError, match="G_20.pth") as caught:
        run.run()
    assert caught.value.errno == errno.ENOSPC
    assert run.checkpoints.steps() == [10]
    assert not list(tmp_path.glob(".*tmp*"))
    assert run.checkpoints.newest()[1]["progress"]["step"] == 10


def test_the_generator_of_an_apple_gpu_is_saved_too(monkeypatch):
    device, generator = torch.device("mps"), [torch.tensor([1])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: generator[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", generator.append)
    saved = rng_state(device)
    generator.append(torch.tensor([2]))
    set_rng_state(device, saved)
    assert generator[-1] == 1
    set_rng_state(device, {"cpu": saved["cpu"]})  # of another device
    assert len(generator) == 3
