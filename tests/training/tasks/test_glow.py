from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.common.errors import CheckpointError, ConfigError
from modules.common.metrics import computed_in
from modules.dataset.features import load_f0
from modules.dsp.audio import write_audio
from modules.pretrained.weights import WEIGHTS, Weights
from tests.inference.tiny import write_vocoder
from tests.support.golden_cases import voice
from tests.training.support.clips import CONFIG
from tests.training.support.events import Events
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.glow import GlowTask
from training.tensorboard import TensorBoardLogger
from vdecoder import VOCODERS, VocoderSpec

CPU = torch.device("cpu")


def make_task(clips, config=CONFIG) -> GlowTask:
    task = GlowTask(config, clips, clips[:1], CPU)
    task.model.eval()
    return task


def with_vocoder(name):
    return replace(CONFIG, model=replace(CONFIG.model, vocoder_name=name))


class F0Recorder(TensorBoardLogger):
    """Remembers the F0 tracks."""

    def f0(self, name, tracks, step):
        self.tracks = tracks
        super().f0(name, tracks, step)


def test_the_seed_decides_the_first_weights(clips):
    def first(seed):
        config = replace(CONFIG, train=replace(CONFIG.train, seed=seed))
        return torch.cat([value.flatten() for value in make_task(clips, config).model.state_dict().values()])

    one = first(1)
    torch.rand(3)  # whatever ran before in this process does not matter
    assert torch.equal(first(1), one) and not torch.equal(first(2), one)


def test_the_recording_is_written_once_in_a_process(clips, tmp_path):
    audio = voice(1.0, 44100)
    write_audio(clips[0], audio, 44100)
    task, tensorboard = make_task(clips), TensorBoardLogger(tmp_path / "run")
    for step in (50_000, 50_800):  # of a resumed run
        task.validate(task.model, tensorboard, step)
    tensorboard.close()
    events = Events(tmp_path / "run")
    ((step, rate, recorded),) = events.audio("audio/0/recorded")
    assert (step, rate, len(recorded)) == (50_000, 44100, 40 * 512)
    np.testing.assert_allclose(recorded, audio[: 40 * 512], atol=1e-4)  # 16 bits
    assert [step for step, _, _ in events.audio("audio/0/generated")] == [50_000, 50_800]


def test_without_the_recording_the_rest_is_shown(clips, tmp_path):
    task, tensorboard = make_task(clips), TensorBoardLogger(tmp_path / "run")
    values = task.validate(task.model, tensorboard, 1)
    tensorboard.close()
    assert Events(tmp_path / "run").tags("audio") == ["audio/0/generated"]
    assert values.keys() == computed_in("validation").keys()
    assert values["val_loss"] == pytest.approx(values["mle"] + CONFIG.train.c_lf0 * values["lf0"])
    assert 0 <= values["f0_accuracy"] <= 1 and values["audio_mel_l1"] > 0


@pytest.mark.parametrize("predicts", [True, False])
def test_the_predicted_melody_is_drawn_beside_the_true_one(clips, tmp_path, predicts):
    config = replace(CONFIG, model=replace(CONFIG.model, use_automatic_f0_prediction=predicts))
    task, tensorboard = make_task(clips, config), F0Recorder(tmp_path / "run")
    task.validate(task.model, tensorboard, 1)
    tensorboard.close()
    f0, uv = load_f0(clips[0])
    assert torch.equal(tensorboard.tracks["input"], f0)
    assert ("predicted" in tensorboard.tracks) == predicts
    if predicts:
        item = task.validation_set[0, 0]
        inputs = item.units, item.f0, item.uv, item.speaker_id
        _, expected = task.model.infer(*inputs, predict_f0=True)
        torch.testing.assert_close(tensorboard.tracks["predicted"], expected[0] * uv)


def test_a_vocoder_without_its_weights_is_announced_and_left_out(clips, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    monkeypatch.setitem(WEIGHTS, "toy", Weights(file="a vocoder/model", purpose="A toy.", licence="none"))
    spec = VocoderSpec(target="vdecoder.world:WorldVocoder", weights="toy")
    monkeypatch.setitem(VOCODERS.specs, "needy", spec)
    write_audio(clips[0], voice(1.0, 44100), 44100)

    def audio_tags(folder):
        task, tensorboard = make_task(clips, with_vocoder("needy")), TensorBoardLogger(folder)
        for step in (1, 2):
            task.validate(task.model, tensorboard, step)
        tensorboard.close()
        return Events(folder).tags("audio")

    def messages():
        return [record.message for record in caplog.records if record.name == "training.tasks.preview"]

    assert audio_tags(tmp_path / "without") == ["audio/0/recorded"]
    assert len(messages()) == 1 and "python -m pretrain needy" in messages()[0]
    (tmp_path / "pretrain/a vocoder").mkdir(parents=True)
    (tmp_path / "pretrain/a vocoder/model").touch()
    assert "audio/0/generated" in audio_tags(tmp_path / "with") and len(messages()) == 1


def test_a_damaged_vocoder_is_found_before_the_first_step(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    write_vocoder(tmp_path / "pretrain")
    (tmp_path / "pretrain/nsf_hifigan/model").write_bytes(b"half of a downl")
    task = make_task(clips, with_vocoder("nsf-hifigan"))
    run = Trainer(task, CONFIG.train, tmp_path / "run", DistributedContext(CPU))
    with pytest.raises(CheckpointError, match="nsf_hifigan"):
        run.run()
    assert run.progress.step == 0


def test_an_unknown_vocoder_is_refused_before_training(clips):
    with pytest.raises(ConfigError, match="unknown vocoder 'tube'"):
        make_task(clips, with_vocoder("tube"))


def test_every_second_validation_is_scored(clips, tmp_path):
    config = replace(with_vocoder("world"), train=replace(CONFIG.train, eval_interval=10, score_every=2))
    scored = []

    def listen(audio, rate, recording):
        scored.append((len(audio), rate, recording))
        return {"similarity": 0.5, "dnsmos_ovrl": float("nan")}

    task = GlowTask(config, clips, clips[:1], CPU, listen)
    tensorboard = TensorBoardLogger(tmp_path / "run")
    values = [task.validate(task.model.eval(), tensorboard, step) for step in (10, 20, 30)]
    tensorboard.close()
    assert scored == [(40 * 512, 44100, clips[0])]
    assert values[1]["similarity"] == 0.5 and "dnsmos_ovrl" not in values[1]
    assert "similarity" not in values[0] | values[2]
