import csv

import pytest
import torch

from diffusion.config import parse_diffusion_config
from diffusion.unit2mel import Unit2Mel, load_unit2mel
from modules.checkpoint import read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError, ConfigError
from modules.dsp.audio import write_audio
from tests.support.golden_cases import voice
from tests.training.support.clips import diffusion_config, make_clips
from tests.training.support.events import Events
from tests.training.support.runs import CPU, after_each_step, same, stop_at, validate
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.diffusion import DiffusionTask, engine_config, wanted_features


@pytest.fixture
def clips(tmp_path):
    return make_clips(tmp_path / "dataset", {"a": [40, 50], "b": [60]}, shift=3.0)


def make_task(clips, config=None) -> DiffusionTask:
    return DiffusionTask(config or diffusion_config(), clips, clips, CPU)


def trainer(clips, folder, config=None) -> Trainer:
    config = config or diffusion_config()
    task = DiffusionTask(config, clips, clips[:1], CPU)
    return Trainer(task, engine_config(config.train, CPU), folder, DistributedContext(CPU))


KINDS = [{}, {"k_step_max": 30}, {"type": "ReFlow"}, {"type": "ReFlow", "k_step_max": 30}]


@pytest.mark.parametrize("model", KINDS, ids=str)
def test_the_loss_falls_and_validation_is_written(clips, tmp_path, model):
    """All kinds by the same code; PITFALL 35: those that can only refine are measured too."""
    torch.set_num_threads(1)
    taken: list[dict[str, torch.Tensor]] = []
    run = trainer(clips, tmp_path, diffusion_config(model, max_steps=60, interval_val=20))
    after_each_step(run, taken.append).run()
    totals = [float(value["total"]) for value in taken]
    assert sum(totals[-10:]) < sum(totals[:10])
    events = Events(tmp_path)
    for name in ("val_loss", "mel_l1", "audio_mel_l1"):
        assert [at for at, _ in events.scalar(f"validation/{name}")] == [20, 40, 60]
    losses = [value for _, value in events.scalar("validation/val_loss")]
    assert losses[-1] < losses[0]
    assert events.tags("audio") == ["audio/0/generated"] and events.images("mel/0")


@pytest.mark.parametrize("model", KINDS, ids=str)
def test_validation_is_the_same_each_time_and_renders_the_recording_and_two_speakers(clips, tmp_path, model):
    write_audio(clips[0], voice(1.0, 44100), 44100)
    task = make_task(clips, diffusion_config(model))
    torch.nn.init.normal_(task.model.decoder.network.output_projection.weight, std=0.1)
    (first, second), events = validate(task, tmp_path / "run", 1, 2)
    torch.rand(7)
    (third,), _ = validate(task, tmp_path / "again", 3)
    assert first == second == third
    assert first.keys() == {"val_loss", "mel_l1", "audio_mel_l1", "f0_accuracy"}
    assert events.tags("audio") == ["audio/0/generated", "audio/0/recorded", "audio/2/generated"]
    assert len(events.audio("audio/0/recorded")) == 1 and len(events.audio("audio/2/generated")) == 2


@pytest.mark.parametrize("model", KINDS, ids=str)
def test_only_the_configured_times_are_trained_and_measured(clips, model):
    task, seen = make_task(clips, diffusion_config(model)), []
    ask = task.model.decoder.network.forward
    task.model.decoder.network.forward = lambda x, t, condition: seen.append(t) or ask(x, t, condition)
    batch = task.collate([task.training_set[0, number % 2] for number in range(200)])
    task.losses(task.model, batch)
    for index in range(2):
        task.validation_loss(task.model, task.validation_set[0, index], index)
    limit = model.get("k_step_max", 100)
    for times in seen:  # inputs of the network, in steps; rectified flow counts towards the mel
        from_mel = 100 - times if "type" in model else times
        assert from_mel.min() >= 0 and from_mel.max() <= limit and from_mel.max() > 0.9 * limit


def test_settings_of_the_file_reach_the_loop():
    yaml = {"interval_log": 7, "interval_val": 8, "interval_force_save": 9, "amp_dtype": "bf16", "lr": 3e-4}
    yaml |= {"decay_step": 11, "gamma": 0.25, "weight_decay": 0.01, "num_workers": 3, "save_opt": False}
    train = parse_diffusion_config({"train": {**yaml, "epochs": 5, "batch_size": 6}}).train
    engine = engine_config(train, CPU)
    expected = {"log_interval": 7, "eval_interval": 8, "force_save_interval": 9, "half_type": "bf16"}
    expected |= {"fp16_run": True, "learning_rate": 3e-4, "scheduler": "step", "epochs": 5, "batch_size": 6}
    same_name = ("decay_step", "gamma", "weight_decay", "num_workers", "save_opt")
    assert vars(engine).items() >= (expected | {name: yaml[name] for name in same_name}).items()
    on_gpu = parse_diffusion_config({"train": {"cache_device": "cuda", "num_workers": 3}}).train
    assert engine_config(on_gpu, torch.device("cuda")).num_workers == 0  # workers cannot read it
    assert engine_config(on_gpu, CPU).num_workers == 3


def test_the_seed_decides_the_first_weights_and_a_cache_on_a_gpu_that_is_not_used_is_announced(clips, caplog):
    task = make_task(clips, diffusion_config(cache_device="cuda"))
    assert task.training_set[0, 0].f0.device.type == "cpu"
    assert any("cache_device cuda" in line for line in caplog.messages)
    one, again, other = (make_task(clips, diffusion_config(seed=n)).model.state_dict() for n in (1, 1, 2))
    assert same(one, again) and not same(one, other)


@pytest.mark.parametrize(
    ("model", "changes"),
    [({}, {"ema_decay": 0.9, "cache_all_data": False}), ({"type": "ReFlow"}, {"amp_dtype": "bf16"})],
    ids=str,
)
def test_an_interrupted_run_resumes_exactly(clips, tmp_path, monkeypatch, changes, model):
    monkeypatch.setattr("training.precision.cpu_has_bf16", lambda: True)  # slow or not, it is used
    config = diffusion_config(model, interval_val=20, **changes)
    trainer(clips, tmp_path / "straight", config).run()
    stop_at(trainer(clips, tmp_path / "stopped", config), 7)  # in the middle of an epoch
    trainer(clips, tmp_path / "stopped", config).run()
    straight, resumed = (read_checkpoint(tmp_path / n / "model_20.pt") for n in ("straight", "stopped"))
    assert same(straight["model"], resumed["model"])
    assert straight["progress"]["epoch"] == resumed["progress"]["epoch"]


def test_files_have_the_published_content_and_other_models_refuse_them(clips, tmp_path):
    trainer(clips, tmp_path, diffusion_config(max_steps=10)).run()
    content = read_checkpoint(tmp_path / "model_10.pt")
    assert content["global_step"] == 10 and content["optimizer"]["state"]
    assert "learning_rate" not in content and "iteration" not in content
    model = load_unit2mel(tmp_path / "model_10.pt", diffusion_config())
    assert same(model.state_dict(), content["model"])
    best = read_checkpoint(tmp_path / "model_best.pt")
    assert best["global_step"] == 10 and "optimizer" not in best
    with pytest.raises(CheckpointError, match=r"model_10\.pt does not fit.*config\.yaml"):
        trainer(clips, tmp_path, diffusion_config({"type": "ReFlow"}))


def test_a_published_checkpoint_is_a_valid_start_and_one_without_its_optimizer_warns(clips, tmp_path, caplog):
    trainer(clips, tmp_path, diffusion_config(max_steps=2, save_opt=False)).run()
    run = trainer(clips, tmp_path, diffusion_config(max_steps=4))
    assert run.progress.step == 2 and not run.state.optimizer.state
    assert any("train.save_opt is off" in line for line in caplog.messages)
    state = Unit2Mel(diffusion_config()).state_dict()
    write_checkpoint(tmp_path / "published/model_4000.pt", {"global_step": 4000, "model": state})
    run = trainer(clips, tmp_path / "published", diffusion_config(max_steps=4002, decay_step=4001))
    assert run.progress.step == 4000 and same(run.task.model.state_dict(), state)
    assert run.run().step == 4002
    assert run.state.learning_rate == pytest.approx(1e-3)  # the schedule goes on from where the file is


WITH_ENCODER = {"use_speaker_encoder": True, "speaker_encoder_out_channels": 5}


@pytest.mark.parametrize(
    ("model", "known", "n_spk"), [({}, 1, 2), ({}, 7, 1), ({}, 7, 2), (WITH_ENCODER, 1, 2)]
)
def test_a_base_model_of_other_speakers_is_a_start_and_stays(clips, tmp_path, caplog, model, known, n_spk):
    """PITFALLS 37-38: base models differ in ``spk_embed`` only."""
    folder = tmp_path / "run"
    state = Unit2Mel(diffusion_config(model, n_spk=known)).state_dict()
    write_checkpoint(folder / "model_0.pt", {"global_step": 0, "model": state, "optimizer": None})
    before = (folder / "model_0.pt").read_bytes()
    config = diffusion_config(n_spk=n_spk, max_steps=2, keep_ckpts=1, ema_decay=0.9)
    used = clips[:2] if n_spk == 1 else clips
    own = DiffusionTask(config, used, clips[:1], CPU).model.state_dict()
    run = trainer(used, folder, config)
    assert run.progress.step == 0 and not run.state.fresh
    expected = state | {k: v for k, v in own.items() if k == "spk_embed.weight"}
    fate = "spk_embed.weight from scratch"
    if known > 1 and n_spk > 1:
        expected["spk_embed.weight"] = state["spk_embed.weight"].mean(0, keepdim=True).expand(n_spk, -1)
        fate = "a and b as the average of its speakers"
    for loaded in (run.state.model, run.state.ema_model):
        assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    message = next(line for line in caplog.messages if "starting from the base model" in line)
    assert message.endswith(f"model_0.pt; {fate}" if n_spk > 1 else "model_0.pt")
    run.run()
    assert run.checkpoints.steps() == [0, 2] and (folder / "model_0.pt").read_bytes() == before
    if n_spk > 1:
        with pytest.raises(CheckpointError, match="spk_embed.weight"):  # trained weights are never dropped
            trainer(clips, folder, diffusion_config(n_spk=5))
        return
    run = trainer(clips, folder, diffusion_config(n_spk=2))  # with a speaker more it begins as it was
    assert not run.task.model.state_dict()["spk_embed.weight"].any()
    assert caplog.messages[-1].endswith("a as in it; b as the average of its speakers")


def test_forced_checkpoints_stay_and_of_the_others_the_newest(clips, tmp_path):
    config = diffusion_config(max_steps=40, interval_val=4, interval_force_save=10, keep_ckpts=2)
    run = trainer(clips, tmp_path, config)
    run.task.validate = lambda *args: {"val_loss": 1.0}
    run.run()
    assert run.checkpoints.steps() == [10, 20, 30, 32, 36, 40]
    rows = csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines())
    assert [int(row["step"]) for row in rows] == list(range(4, 41, 4))  # saved, not measured


def test_what_is_wanted_follows_the_configuration_and_a_model_with_a_speaker_encoder_is_not_trained(clips):
    wanted = wanted_features(diffusion_config())
    assert wanted.keys() == {"units", "f0", "mel", "volume", "aug_mel", "aug_volume"}
    assert wanted["units"]["encoder"] == "mfcc" and wanted["mel"]["n_mels"] == 128
    assert "f_max" not in wanted["mel"]  # diffusion.yaml does not know it
    assert wanted_features(diffusion_config({"use_pitch_aug": False})).keys() == {
        "units",
        "f0",
        "mel",
        "volume",
    }
    with pytest.raises(ConfigError, match="use_speaker_encoder"):
        make_task(clips, diffusion_config({"use_speaker_encoder": True}))
