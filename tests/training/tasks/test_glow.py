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
from tests.training.support.clips import CONFIG, with_train
from tests.training.support.runs import CPU, same, validate
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.glow import GlowTask
from training.tensorboard import TensorBoardLogger
from vdecoder import VOCODERS, VocoderSpec


def make_task(clips, config=CONFIG, scorer=None) -> GlowTask:
    return GlowTask(config, clips, clips[:1], CPU, scorer)


def with_vocoder(name):
    return replace(CONFIG, model=replace(CONFIG.model, vocoder_name=name))


def test_the_seed_decides_the_first_weights(clips):
    one, again, other = (make_task(clips, with_train(seed=n)).model.state_dict() for n in (1, 1, 2))
    assert same(one, again) and not same(one, other)  # whatever ran before in this process


def test_the_recording_is_written_once_in_a_process(clips, tmp_path):
    audio = voice(1.0, 44100)
    write_audio(clips[0], audio, 44100)
    _, events = validate(make_task(clips), tmp_path / "run", 50_000, 50_800)  # of a resumed run
    ((step, rate, recorded),) = events.audio("audio/0/recorded")
    assert (step, rate, len(recorded)) == (50_000, 44100, 40 * 512)
    np.testing.assert_allclose(recorded, audio[: 40 * 512], atol=1e-4)  # 16 bits
    assert [step for step, _, _ in events.audio("audio/0/generated")] == [50_000, 50_800]


@pytest.mark.parametrize("predicts", [True, False])
def test_without_the_recording_the_rest_is_shown(clips, tmp_path, predicts, monkeypatch):
    config, drawn = replace(CONFIG, model=replace(CONFIG.model, use_automatic_f0_prediction=predicts)), {}
    monkeypatch.setattr(TensorBoardLogger, "f0", lambda self, name, tracks, step: drawn.update(tracks))
    task = make_task(clips, config)
    (values,), events = validate(task, tmp_path / "run", 1)
    assert events.tags("audio") == ["audio/0/generated"]
    assert values.keys() == computed_in("validation").keys() - (set() if predicts else {"lf0"})
    assert values["val_loss"] == pytest.approx(values["mle"] + CONFIG.train.c_lf0 * values.get("lf0", 0.0))
    assert 0 <= values["f0_accuracy"] <= 1 and values["audio_mel_l1"] > 0
    f0, uv = load_f0(clips[0])
    assert torch.equal(drawn["input"], f0) and ("predicted" in drawn) == predicts
    if predicts:
        item = task.validation_set[0, 0]
        inputs = item.units, item.f0, item.uv, item.speaker_id
        _, expected = task.model.infer(*inputs, predict_f0=True)
        torch.testing.assert_close(drawn["predicted"], expected[0] * uv)


def test_a_vocoder_without_its_weights_is_announced_and_left_out(clips, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    monkeypatch.setitem(WEIGHTS, "toy", Weights(file="a vocoder/model", purpose="A toy.", licence="none"))
    spec = VocoderSpec(target="vdecoder.world:WorldVocoder", weights="toy")
    monkeypatch.setitem(VOCODERS.specs, "needy", spec)
    write_audio(clips[0], voice(1.0, 44100), 44100)

    def audio_tags(folder):
        return validate(make_task(clips, with_vocoder("needy")), folder, 1, 2)[1].tags("audio")

    def messages():
        return [record.message for record in caplog.records if record.name == "training.tasks.preview"]

    assert audio_tags(tmp_path / "without") == ["audio/0/recorded"]
    assert len(messages()) == 1 and "python -m pretrain needy" in messages()[0]
    (tmp_path / "pretrain/a vocoder").mkdir(parents=True)
    (tmp_path / "pretrain/a vocoder/model").touch()
    assert "audio/0/generated" in audio_tags(tmp_path / "with") and len(messages()) == 1


def test_a_damaged_or_unknown_vocoder_is_found_before_the_first_step(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    write_vocoder(tmp_path / "pretrain")
    (tmp_path / "pretrain/nsf_hifigan/model").write_bytes(b"half of a downl")
    task = make_task(clips, with_vocoder("nsf-hifigan"))
    run = Trainer(task, CONFIG.train, tmp_path / "run", DistributedContext(CPU))
    with pytest.raises(CheckpointError, match="nsf_hifigan"):
        run.run()
    assert run.progress.step == 0
    with pytest.raises(ConfigError, match="unknown vocoder 'tube'"):
        make_task(clips, with_vocoder("tube"))


def test_every_second_validation_is_scored(clips, tmp_path):
    config = replace(with_vocoder("world"), train=replace(CONFIG.train, eval_interval=10, score_every=2))
    scored = []

    def listen(audio, rate, recording):
        scored.append((len(audio), rate, recording))
        return {"similarity": 0.5, "dnsmos_ovrl": float("nan")}

    values, _ = validate(make_task(clips, config, listen), tmp_path / "run", 10, 20, 30)
    assert scored == [(40 * 512, 44100, clips[0])]
    assert values[1]["similarity"] == 0.5 and "dnsmos_ovrl" not in values[1]
    assert "similarity" not in values[0] | values[2]
