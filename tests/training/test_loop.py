import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modules.checkpoint import read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError, TrainingError
from modules.common.files import replacing
from tests.training.clips import CONFIG, make_clips, with_train
from tests.training.events import Events
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.glow import GlowTask

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture
def clips(tmp_path):
    return make_clips(tmp_path / "dataset", {"a": [40, 50], "b": [60]}, perturbed=1)


def trainer(clips, folder, config=CONFIG, max_minutes=0.0) -> Trainer:
    return Trainer(
        GlowTask(config, clips, clips[:1], CPU), config.train, folder, DistributedContext(CPU), max_minutes
    )


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / f"G_{step}.pth")["model"]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def test_the_loss_falls_and_validation_is_written(clips, tmp_path):
    first = trainer(clips, tmp_path / "run")
    values = []
    step = first._step
    first._step = lambda *args: values.append(step(*args)) or values[-1]
    first.run()
    losses = [float(value["total"]) for value in values]
    assert len(losses) == 40 and sum(losses[-5:]) < sum(losses[:5])
    assert all(float(value["lf0"]) > 0 for value in values)  # automatic F0 is trained
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("changes", "model"),
    [
        ({"ema_decay": 0.9}, {}),
        ({"fp16_run": True, "half_type": "bf16"}, {}),
        ({}, {"p_dropout": 0.1, "use_crn_pre": True}),
    ],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(clips, tmp_path, changes, model):
    """Exact on one CPU: chance follows from (seed, epoch, item), the rest is in the checkpoint."""
    train = with_train(max_steps=20, eval_interval=20, **changes).train
    config = replace(CONFIG, train=train, model=replace(CONFIG.model, **model))
    trainer(clips, tmp_path / "straight", config).run()
    _run_until(clips, tmp_path / "stopped", config, 8)  # in the middle of an epoch
    trainer(clips, tmp_path / "stopped", config).run()
    straight, resumed = (read_checkpoint(tmp_path / name / "G_20.pth") for name in ("straight", "stopped"))
    assert same(straight["model"], resumed["model"])
    assert straight["progress"]["epoch"] == resumed["progress"]["epoch"]


def test_forty_steps_are_forty_steps_wherever_they_are_interrupted(clips, tmp_path):
    """A checkpoint at 17, kill -9 some steps later: the loss goes on bit for bit."""
    torch.set_num_threads(1)

    def losses(folder, steps):
        run, seen = trainer(clips, folder, with_train(max_steps=40, eval_interval=17)), {}
        take = run._step

        def noting(*args):
            values = take(*args)
            seen[run.progress.step] = float(values["total"])
            if run.progress.step == steps:
                raise SystemExit  # nothing more is written, as after kill -9
            return values

        run._step = noting
        with suppress(SystemExit):
            run.run()
        return seen

    straight = losses(tmp_path / "straight", 40)
    assert sorted(straight) == list(range(1, 41))
    before = losses(tmp_path / "killed", 24)
    after = losses(tmp_path / "killed", 40)
    assert sorted(after) == list(range(18, 41))
    assert {**before, **after} == straight


def test_small_batches_add_up_to_a_large_one(clips, tmp_path):
    """The same windows in one batch of four, or in two of two: the same gradient."""

    def gradient(**changes):
        torch.manual_seed(0)
        run = trainer(clips, tmp_path / "none", with_train(**changes))
        run.task.model.train()
        run._backward(next(run._batches()))
        return torch.cat([p.grad.flatten() for p in run.task.model.parameters()])

    whole = gradient(batch_size=4)
    parts = gradient(batch_size=2, accumulate_steps=2)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6 * float(whole.abs().max()))


def test_patience_ends_the_run_and_the_best_model_is_kept(clips, tmp_path, caplog):
    config = with_train(max_steps=200, eval_interval=5, patience=2, keep_ckpts=1)
    run = trainer(clips, tmp_path / "run", config)
    scores = iter([3.0, 2.0, 2.5, 2.6, 0.0])
    best = {}

    def validate(model, tensorboard, step):
        score = next(scores)
        if score == 2.0:
            best.update({name: value.clone() for name, value in model.state_dict().items()})
        return {"val_loss": score}

    run.task.validate = validate
    assert run.run().step == 20
    assert "has not improved in 2 validations; the best was step 10" in caplog.messages[-1]
    assert same(weights(tmp_path / "run", "best"), best)
    assert run.checkpoints.steps() == [20]  # the best is none that a run goes on from
    assert trainer(clips, tmp_path / "run", config).run().step == 20  # and its verdict stays


def test_out_of_memory_says_what_to_halve(clips, tmp_path):
    run = trainer(clips, tmp_path / "run")

    def losses(network, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    run.task.losses = losses
    with pytest.raises(TrainingError, match=r"out of memory. Halve train\.batch_size"):
        run.run()


def test_what_fails_while_validating_loses_no_steps(clips, tmp_path):
    run = trainer(clips, tmp_path / "run", with_train(eval_interval=5))

    def validate(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    run.task.validate = validate
    with pytest.raises(torch.OutOfMemoryError):
        run.run()
    assert run.checkpoints.steps() == [5]


def test_the_last_step_is_saved_when_the_end_is_heard_of_late(clips, tmp_path, monkeypatch):
    """As with several processes: that patience is over is known a step later."""
    run = trainer(clips, tmp_path / "run", with_train(eval_interval=5))
    monkeypatch.setattr(run, "_is_over", lambda: run.progress.step == 7)
    assert run.run().step == 7 and run.checkpoints.steps()[-1] == 7


def test_processes_that_read_clips_live_through_an_interrupt(clips, tmp_path):
    """Ctrl-C reaches them too, and the last step still wants its batch; spawned, as on Windows and macOS."""
    code = (
        "import os, signal\n"
        "from training.loop import _ignore_interrupts\n"
        "_ignore_interrupts(0)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "alive\n", done.stderr


def _run_until(clips, folder, config, step):
    run = trainer(clips, folder, config)
    take = run._step

    def once(*args):
        values = take(*args)
        if run.progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)
        return values

    run._step = once
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.checkpoints.steps()[-1] == step


def test_a_killed_run_goes_on_from_its_last_checkpoint(clips, tmp_path):
    """Kill -9 at any moment leaves whole checkpoints only."""
    config = with_train(max_steps=200, eval_interval=5)
    script = (
        "import sys; from pathlib import Path; from tests.training.test_loop import *;"
        "from tests.training.clips import with_train;"
        f"trainer([Path(p) for p in {[str(c) for c in clips]!r}], Path({str(tmp_path / 'run')!r}),"
        "with_train(max_steps=200, eval_interval=5)).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "G_10.pth").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert (tmp_path / "run" / "G_10.pth").exists()
    resumed = trainer(clips, tmp_path / "run", config)
    assert resumed.progress.step >= 10 and not resumed.fresh


@pytest.mark.parametrize("name", ["G_0.pth", "G_0.safetensors"])
def test_a_base_model_is_a_start_and_stays(clips, tmp_path, name):
    base = trainer(clips, tmp_path / "base", with_train(max_steps=10))
    base.run()
    folder = tmp_path / "run"
    content = read_checkpoint(tmp_path / "base" / "G_10.pth")
    write_checkpoint(folder / name, {"model": content["model"], "optimizer": None, "iteration": 0})
    before = (folder / name).read_bytes()
    run = trainer(clips, folder, with_train(max_steps=30, keep_ckpts=1))
    assert run.progress.step == 0 and not run.fresh
    assert same(run.task.model.state_dict(), content["model"])
    run.run()
    assert run.checkpoints.steps() == [0, 30]
    assert (folder / name).read_bytes() == before


def test_a_named_base_model_goes_before_the_one_in_the_folder_but_not_before_the_run(clips, tmp_path):
    trainer(clips, tmp_path / "base", with_train(max_steps=10)).run()
    named = tmp_path / "base" / "G_10.pth"
    config, folder = with_train(max_steps=3), tmp_path / "run"
    write_checkpoint(
        folder / "G_0.pth", {"model": GlowTask(config, clips, clips[:1], CPU).model.state_dict()}
    )

    def begin() -> Trainer:
        task = GlowTask(config, clips, clips[:1], CPU)
        return Trainer(task, config.train, folder, DistributedContext(CPU), base=named)

    run = begin()
    assert run.progress.step == 0 and same(run.task.model.state_dict(), read_checkpoint(named)["model"])
    run.run()
    assert begin().progress.step == 3


def test_a_base_model_of_other_speakers_is_a_start(clips, tmp_path, caplog):
    """Published base models know hundreds of speakers."""
    known = replace(CONFIG, model=replace(CONFIG.model, n_speakers=7))
    base = GlowTask(known, clips, clips[:1], CPU).model.state_dict()
    folder = tmp_path / "run"
    write_checkpoint(folder / "G_0.pth", {"model": base, "optimizer": None, "iteration": 0})
    config = with_train(max_steps=2, ema_decay=0.5)
    run = trainer(clips, folder, config)
    said = "emb_g.weight and spk_emb.weight from the average of its speakers"
    assert sum(said in line for line in caplog.messages) == 1
    for name, value in run.task.model.state_dict().items():
        table = name in ("emb_g.weight", "spk_emb.weight")
        assert torch.equal(value, base[name].mean(0, keepdim=True).expand_as(value) if table else base[name])
    assert same(run.task.model.state_dict(), run.mean_model.state_dict())
    run.run()
    with pytest.raises(CheckpointError, match="emb_g.weight"):  # what was trained is not thrown away so
        trainer(clips, folder, known)


def test_a_compressed_or_published_checkpoint_is_a_valid_start(clips, tmp_path):
    trainer(clips, tmp_path / "run", with_train(max_steps=10)).run()
    path = tmp_path / "run" / "G_10.pth"
    content = read_checkpoint(path)
    write_checkpoint(
        path, {"model": content["model"], "iteration": 1, "optimizer": None, "learning_rate": 0.7}
    )
    run = trainer(clips, tmp_path / "run")
    assert run.progress.step == 11 and not run.optimizer.state


def test_another_model_size_is_refused_and_nothing_is_lost(clips, tmp_path):
    trainer(clips, tmp_path / "run", with_train(max_steps=10)).run()
    before = (tmp_path / "run" / "G_10.pth").read_bytes()
    other = replace(CONFIG, model=replace(CONFIG.model, hidden_channels=32))
    with pytest.raises(CheckpointError, match=r"G_10\.pth does not fit"):
        trainer(clips, tmp_path / "run", other)
    assert (tmp_path / "run" / "G_10.pth").read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_run_and_is_not_saved(clips, tmp_path):
    run = trainer(clips, tmp_path / "run")
    losses = run.task.losses

    def poisoned(network, batch):
        parts = losses(network, batch)
        return {**parts, "mle": parts["mle"] * float("nan")} if run.progress.step >= 12 else parts

    run.task.losses = poisoned
    with pytest.raises(TrainingError, match="learning_rate"):
        run.run()
    assert run.checkpoints.steps() == [10]


@pytest.mark.parametrize("fused", [True, False])
def test_a_gradient_that_is_no_number_changes_nothing_and_is_told(clips, tmp_path, caplog, fused):
    """The loss itself is fine: only the norm of the gradient shows it."""
    run = trainer(clips, tmp_path / "run")
    run.optimizer.param_groups[0]["fused"] = fused  # devices without the fused kernel
    losses, take = run.task.losses, run._step
    moved = {}

    def poisoned(network, batch):
        parts = losses(network, batch)
        if run.progress.step in (12, 13):
            weight = next(run.task.model.parameters())
            parts["mle"] = parts["mle"] + (0 * weight.sum()).sqrt()  # 0, of infinite slope
        return parts

    def watched(*args):
        step, before = run.progress.step, run.task.model.state_dict()["pre.weight"].clone()
        values = take(*args)
        moved[step] = not torch.equal(before, run.task.model.state_dict()["pre.weight"])
        assert values["total"].isfinite()
        return values

    run.task.losses, run._step = poisoned, watched
    run.run()
    assert [step for step, did in moved.items() if not did] == [12, 13]
    assert all(value.isfinite().all() for value in weights(tmp_path / "run", 40).values())
    assert sum("non-finite gradients: 2 steps skipped" in line for line in caplog.messages) == 1
    assert (15, 2.0) in Events(tmp_path / "run").scalar("train/skipped_steps")


def test_gradients_are_unscaled_before_they_are_clipped(clips, tmp_path):
    """A power of two as the scale: the scaled step must then be the plain one, bit for bit."""
    plain, scaled = (trainer(clips, tmp_path / name) for name in ("plain", "scaled"))
    scaled.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    one, two = (run._step(next(run._batches())) for run in (plain, scaled))
    assert one["grad_norm"] == two["grad_norm"] > 5.0  # it is clipped, or this would prove nothing
    assert same(plain.task.model.state_dict(), scaled.task.model.state_dict())


def test_an_overflow_halves_the_scale_and_changes_nothing(clips, tmp_path):
    run = trainer(clips, tmp_path / "run")
    run.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)  # overflows float32 too
    before = {name: value.clone() for name, value in run.task.model.state_dict().items()}
    run._step(next(run._batches()))
    assert same(before, run.task.model.state_dict())
    assert run.precision.scaler.get_scale() == 2.0**126


def test_a_full_disk_keeps_the_last_good_checkpoint(clips, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a disk that is always full")
    run = trainer(clips, tmp_path / "run")
    with replacing(run.checkpoints.path(20)) as temporary:  # learn its name
        temporary.touch()
    run.checkpoints.path(20).unlink()
    temporary.symlink_to("/dev/full")
    with pytest.raises(OSError, match="G_20.pth") as caught:
        run.run()
    assert caught.value.errno == errno.ENOSPC
    assert run.checkpoints.steps() == [10]
    assert not list((tmp_path / "run").glob(".*tmp*"))
    assert run.checkpoints.newest()[1]["progress"]["step"] == 10


@pytest.mark.parametrize(
    ("changes", "steps", "reason"),
    [
        ({"max_steps": 3}, 3, "all steps are done (3)"),
        ({"scheduler": "noam", "max_steps": 0, "epochs": 1}, 5, "all epochs are done (1)"),
    ],
)
def test_why_a_run_ended_is_said_once(clips, tmp_path, caplog, changes, steps, reason):
    trainer(clips, tmp_path / "run", with_train(**changes)).run()
    assert caplog.messages == [f"stopped at step {steps}: {reason}"]


def test_the_time_limit_counts_whatever_time_was_spent_on(clips, tmp_path, monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr("training.budget.perf_counter", lambda: now[0])

    def slow(run):
        validate, losses = run.task.validate, run.task.losses

        def validate_for_a_minute(*args):
            now[0] += 60
            return validate(*args)

        def learn_for_a_second(*args):
            now[0] += 1
            return losses(*args)

        run.task.validate, run.task.losses = validate_for_a_minute, learn_for_a_second
        return run

    run = slow(trainer(clips, tmp_path / "run", max_minutes=2.0))
    assert run.run().step == 20  # 10 steps, validation, 10 steps, validation: 140 s
    assert caplog.messages[-1] == "stopped at step 20: the time is used up (2 minutes)"
    assert run.checkpoints.newest()[1]["progress"]["seconds"] == 140
    assert trainer(clips, tmp_path / "run", max_minutes=2.0).run().step == 20  # it stays used up
    more = slow(trainer(clips, tmp_path / "run", max_minutes=3.0)).run()
    assert more.step == 30 and more.seconds == 210


@pytest.mark.parametrize(
    ("lengths", "changes"),
    [
        ({"a": [40]}, {}),  # one clip
        ({"a": [1]}, {}),  # of one frame
        ({"a": [1, 3, 16]}, {"batch_size": 2}),  # odd lengths, shorter than a group of the flow
        ({"a": [20, 20]}, {"batch_size": 64}),  # more than there are
        ({"a": [20, 20]}, {"batch_size": 64, "accumulate_steps": 9}),
    ],
)
def test_small_data_sets_train(tmp_path, lengths, changes):
    clips = make_clips(tmp_path / "dataset", lengths)
    run = trainer(clips, tmp_path / "run", with_train(max_steps=3, eval_interval=3, **changes))
    assert run.run().step == 3
    assert all(value.isfinite().all() for value in run.task.model.state_dict().values())
