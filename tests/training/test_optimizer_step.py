import pytest
import torch

from modules.common.errors import TrainingError
from tests.training.support.events import Events
from tests.training.support.runs import after_each_step, same, trainer


@pytest.mark.parametrize("fused", [True, False])
def test_non_finite_gradients_change_nothing_and_are_reported(clips, tmp_path, caplog, fused):
    """The loss itself is fine: only the norm of the gradient shows it."""
    run = trainer(clips, tmp_path)
    run.state.optimizer.param_groups[0]["fused"] = fused  # devices without the fused kernel
    losses, weights, moved = run.task.losses, [run.state.model.state_dict()["pre.weight"].clone()], {}

    def poisoned(network, batch):
        parts = losses(network, batch)
        if run.progress.step in (12, 13):
            weight = next(run.state.model.parameters())
            parts["mle"] = parts["mle"] + (0 * weight.sum()).sqrt()  # 0, of infinite slope
        return parts

    def watch(values):
        weights.append(run.state.model.state_dict()["pre.weight"].clone())
        moved[run.progress.step] = not torch.equal(*weights[-2:])
        assert values["total"].isfinite()

    run.task.losses = poisoned
    after_each_step(run, watch).run()
    assert [step for step, did in moved.items() if not did] == [13, 14]
    assert all(value.isfinite().all() for value in run.state.model.state_dict().values())
    assert sum("non-finite gradients: 2 steps skipped" in line for line in caplog.messages) == 1
    assert (15, 2.0) in Events(tmp_path).scalar("train/skipped_steps")


def test_gradients_are_unscaled_before_they_are_clipped_and_an_overflow_halves_the_scale(clips, tmp_path):
    """A power of two as the scale: the scaled step must then be the plain one, bit for bit."""
    plain, scaled = (trainer(clips, tmp_path / name) for name in ("plain", "scaled"))
    scaled.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    one, two = (run.step(next(run.batches())) for run in (plain, scaled))
    assert one["grad_norm"] == two["grad_norm"] > 5.0  # it is clipped, or this would prove nothing
    assert same(plain.state.model.state_dict(), scaled.state.model.state_dict())
    run = trainer(clips, tmp_path)
    run.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)  # overflows float32 too
    before = {name: value.clone() for name, value in run.state.model.state_dict().items()}
    run.step(next(run.batches()))
    assert same(before, run.state.model.state_dict())
    assert run.state.scaler.get_scale() == 2.0**126


def test_out_of_memory_says_what_to_halve(clips, tmp_path):
    run = trainer(clips, tmp_path)

    def losses(network, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    run.task.losses = losses
    with pytest.raises(TrainingError, match=r"out of memory. Halve train\.batch_size"):
        run.run()
