import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modules.checkpoint import read_checkpoint
from modules.common.errors import FeatureError, TrainingError
from tests.training.support.clips import CONFIG, make_clips, with_train
from tests.training.support.events import Events
from tests.training.support.runs import after_each_step, same, stop_at, trainer

ROOT = Path(__file__).parents[2]


def test_the_loss_falls_and_validation_is_written(clips, tmp_path):
    values: list[dict[str, torch.Tensor]] = []
    after_each_step(trainer(clips, tmp_path), values.append).run()
    losses = [float(value["total"]) for value in values]
    assert len(losses) == 40 and sum(losses[-5:]) < sum(losses[:5])
    assert all(float(value["lf0"]) > 0 for value in values)  # automatic F0 is trained
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("changes", "model"),
    [
        ({"ema_decay": 0.9, "batch_size": 1, "accumulate_steps": 2}, {}),
        ({"fp16_run": True, "half_type": "bf16"}, {}),
        ({}, {"p_dropout": 0.1, "use_crn_pre": True, "prenet_channels": 8}),
    ],
)
def test_an_interrupted_and_a_killed_run_resume_exactly(clips, tmp_path, changes, model):
    """Exact on one CPU: chance follows from (seed, epoch, item), the rest is in the checkpoint."""
    train = with_train(max_steps=20, eval_interval=13, **changes).train
    config = replace(CONFIG, train=train, model=replace(CONFIG.model, **model))
    trainer(clips, tmp_path / "straight", config).run()
    stop_at(trainer(clips, tmp_path / "stopped", config), 8)  # in the middle of an epoch
    killed = trainer(clips, tmp_path / "stopped", config)
    with pytest.raises(SystemExit):  # nothing more is written, as after kill -9
        after_each_step(killed, lambda _: killed.progress.step == 16 and sys.exit()).run()
    resumed = trainer(clips, tmp_path / "stopped", config)
    assert resumed.progress.step == 13 and killed.progress.step == 16
    resumed.run()
    straight, stopped = (read_checkpoint(tmp_path / name / "G_20.pth") for name in ("straight", "stopped"))
    assert same(straight["model"], stopped["model"])
    assert straight["progress"]["epoch"] == stopped["progress"]["epoch"]


def test_patience_ends_the_run_and_the_best_model_is_kept(clips, tmp_path, caplog):
    config = with_train(max_steps=200, eval_interval=5, patience=2, keep_ckpts=1)
    run = trainer(clips, tmp_path, config)
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
    assert same(read_checkpoint(tmp_path / "G_best.pth")["model"], best)
    assert run.checkpoints.steps() == [20]  # no run resumes from the best
    assert trainer(clips, tmp_path, config).run().step == 20  # and the patience stays used up


def test_no_step_is_lost_where_validating_fails_or_the_end_is_known_late(clips, tmp_path, monkeypatch):
    run = trainer(clips, tmp_path, with_train(eval_interval=5))

    def validate(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    run.task.validate = validate
    with pytest.raises(torch.OutOfMemoryError):
        run.run()
    assert run.checkpoints.steps() == [5]
    # as with several processes: that the patience is used up is known a step later
    run = trainer(clips, tmp_path / "late", with_train(eval_interval=5))
    monkeypatch.setattr(run, "is_over", lambda: run.progress.step == 7)
    assert run.run().step == 7 and run.checkpoints.steps()[-1] == 7


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_workers_live_through_an_interrupt(number):
    """Ctrl-C reaches them too, and the last step still wants its batch; spawned, as on Windows and macOS."""
    code = (
        "import os, signal\n"
        "from training.interrupt import ignore_interrupts\n"
        "ignore_interrupts(0)\n"
        f"os.kill(os.getpid(), signal.{number})\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "alive\n", done.stderr


def poison(run, *steps):
    """Make the loss of these steps NaN."""
    losses = run.task.losses

    def poisoned(network, batch):
        parts = losses(network, batch)
        return {**parts, "mle": parts["mle"] * float("nan")} if run.progress.step + 1 in steps else parts

    run.task.losses = poisoned
    return run


def test_a_loss_that_is_not_finite_is_skipped_on_every_kind_of_step(clips, tmp_path, caplog):
    """On one that is logged (5), validated (10), saved at a stop (13), and the last (20)."""
    config = with_train(max_steps=20, log_interval=5)
    stop_at(poison(trainer(clips, tmp_path, config), 5, 10, 13), 13)
    run = poison(trainer(clips, tmp_path, config), 20)
    assert run.progress.step == 13 and run.run().step == 20
    assert run.checkpoints.steps() == [10, 13, 20]
    assert all(value.isfinite().all() for value in run.state.model.state_dict().values())
    assert sum("1 steps skipped" in line for line in caplog.messages) == 3


@pytest.mark.parametrize(("interval", "kept"), [(10, [10, 20, 30]), (1000, [])])
def test_twenty_such_steps_in_a_row_end_the_run_also_between_validations(clips, tmp_path, interval, kept):
    train = with_train(max_steps=60, log_interval=1000, eval_interval=interval)
    run = poison(trainer(clips, tmp_path, train), *range(12, 61))
    with pytest.raises(TrainingError, match=r"the last 29 steps, up to step 40.*learning_rate"):
        run.run()
    assert run.checkpoints.steps() == kept  # the weights are those of step 11


def test_weights_that_are_not_finite_are_never_saved(clips, tmp_path):
    run = trainer(clips, tmp_path, with_train(keep_ckpts=1))
    weight = next(run.state.model.parameters())
    after_each_step(run, lambda _: run.progress.step == 19 and weight.data.fill_(float("nan")))
    with pytest.raises(TrainingError, match=r"weights of step 20 are not finite.*learning_rate"):
        run.run()
    assert run.checkpoints.steps() == [10]


def test_why_a_run_ended_is_said_once_and_all_time_counts_for_the_limit(clips, tmp_path, caplog, monkeypatch):
    trainer(clips, tmp_path, with_train(scheduler="noam", max_steps=0, epochs=1)).run()
    assert caplog.messages == ["stopped at step 5: all epochs are done (1)"]
    now = [0.0]
    monkeypatch.setattr("training.budget.perf_counter", lambda: now[0])

    def slow(max_minutes):
        run = trainer(clips, tmp_path / "timed", max_minutes=max_minutes)

        def lasting(seconds, call):
            return lambda *args: now.append(now.pop() + seconds) or call(*args)

        run.task.validate, run.task.losses = lasting(60, run.task.validate), lasting(1, run.task.losses)
        return run

    run = slow(2.0)
    assert run.run().step == 20  # 10 steps, validation, 10 steps, validation: 140 s
    assert caplog.messages[-1] == "stopped at step 20: the time is used up (2 minutes)"
    assert run.checkpoints.newest()[1]["progress"]["seconds"] == 140
    assert slow(2.0).run().step == 20  # it stays used up
    more = slow(3.0).run()
    assert more.step == 30 and more.seconds == 210


@pytest.mark.parametrize(
    ("lengths", "changes"),
    [
        ([40], {}),  # one clip
        ([1], {}),  # of one frame
        ([1, 3, 16], {"batch_size": 2}),  # odd lengths, shorter than a group of the flow
        ([20, 20], {"batch_size": 64, "accumulate_steps": 9}),  # more than there are
    ],
)
def test_small_data_sets_train(tmp_path, lengths, changes):
    clips = make_clips(tmp_path / "dataset", {"a": lengths})
    run = trainer(clips, tmp_path / "run", with_train(max_steps=3, eval_interval=3, **changes))
    assert run.run().step == 3
    assert all(value.isfinite().all() for value in run.state.model.state_dict().values())


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_of_a_clip_is_one_line_whoever_reads_it(clips, tmp_path, num_workers):
    run = trainer(clips, tmp_path / "run", with_train(num_workers=num_workers))
    for path in (tmp_path / "dataset").glob("a/*.mel.*"):
        path.write_bytes(b"no mel")
    with pytest.raises(FeatureError) as caught:
        run.run()
    assert "mel" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_run_that_fails_ends_its_workers(tmp_path):
    """Also if they are never told, since the error holds on to what would tell them."""
    code = (
        "import multiprocessing, time\n"
        "from training.interrupt import ignore_interrupts\n"
        "def work():\n    ignore_interrupts(0)\n    ready.set()\n    time.sleep(60)\n"
        "ready = multiprocessing.get_context('fork').Event()\n"
        "worker = multiprocessing.get_context('fork').Process(target=work, daemon=True)\n"
        "worker.start()\n"
        "ready.wait()\n"
        "worker.terminate()\n"  # as a DataLoader does before the interpreter, which waits
        "time.sleep(0.1)\n"
        "print(worker.is_alive())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n", done.stderr


def test_a_dead_reader_of_clips_is_explained(clips, tmp_path):
    run = trainer(clips, tmp_path, with_train(num_workers=1))
    run.task.collate = lambda items: os._exit(9)
    with pytest.raises(TrainingError, match=r"process that reads clips died.*train\.num_workers"):
        run.run()


def test_the_curves_of_a_resumed_run_have_no_step_twice(clips, tmp_path):
    config = with_train(max_steps=20, eval_interval=12)
    killed = trainer(clips, tmp_path, config)
    with pytest.raises(SystemExit):
        after_each_step(killed, lambda _: killed.progress.step == 18 and sys.exit()).run()
    assert [step for step, _ in Events(tmp_path).scalar("train/total")] == [5, 10, 15]
    trainer(clips, tmp_path, config).run()
    assert [step for step, _ in Events(tmp_path).scalar("train/total")] == [5, 10, 15, 20]
