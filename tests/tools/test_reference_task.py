"""A base model that takes its speakers from recordings: training, and a voice without training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_tools.compress import compress_model
from model_tools.instant import make_instant_voice
from model_tools.merge import mix_models
from models import GlowSVC, ReferenceGlow
from modules.checkpoint import model_state, write_checkpoint
from modules.common.errors import AudioError, CheckpointError
from modules.config import load_config, parse_config
from modules.dataset.features import load_mel
from modules.dsp.audio import write_audio
from modules.dsp.mel_basis import mel_centres
from tests.support.golden_cases import voice
from tests.support.scripts import CONFIG
from tools.starter import reference_task
from tools.starter.reference_task import (
    N_PIECES,
    PIECE,
    ReferenceDataset,
    ReferenceTask,
    draw_piece,
    scaled_bands,
    stretched,
)
from training import base_model
from training.tasks.glow import GlowTask


def test_it_learns_from_references_of_the_same_speaker(workspace):
    clips = [Path("dataset/44k/anna/0.wav"), Path("dataset/44k/anna/1.wav")]
    config = load_config("configs/config.json")
    task = ReferenceTask(config, clips, clips[1:], torch.device("cpu"))
    batch = task.training_set[0, 0]
    assert batch.speaker_id.shape == (1, config.data.n_mels, N_PIECES * PIECE)
    assert torch.equal(batch.speaker_id, task.training_set[0, 0].speaker_id)
    task.initialise(batch)
    torch.nn.init.normal_(task.model.flow.flows[2].post.weight, std=0.1)  # else the flow ignores the speaker
    sum(task.losses(task.model, batch).values()).backward()
    gradient = task.model.reference.out.weight.grad
    assert gradient is not None and gradient.abs().sum(1).min() > 0  # of both tables' rows


def test_a_piece_lies_in_its_clip_also_in_a_short_one():
    rng = np.random.default_rng(0)
    mel = torch.arange(30.0).expand(4, 30)
    piece = draw_piece(mel, rng)
    assert piece.shape == (4, PIECE) and set(np.diff(piece[0].numpy())) == {1.0, -29.0}


def test_speakers_that_nobody_recorded_have_other_formants_and_their_pitch():
    data = parse_config(CONFIG).data
    centres = torch.from_numpy(mel_centres(data.n_mels, data.f_min, data.f_max))
    tone = -(centres / 1500).log().abs()[:, None].expand(-1, 3).float()  # its peak is at 1500 Hz
    for scale in (0.85, 1.0, 1.18):
        made_up = stretched(tone, scaled_bands(scale, data))
        assert float(centres[made_up[:, 0].argmax()]) == pytest.approx(1500 * scale, rel=0.04)
    torch.testing.assert_close(stretched(tone, scaled_bands(1.0, data)), tone)


def test_the_pitch_and_the_reference_are_of_the_made_up_speaker(workspace):
    clips = [Path("dataset/44k/anna/0.wav"), Path("dataset/44k/anna/1.wav")]
    config = load_config("configs/config.json")
    plain, made_up = (ReferenceDataset(clips, config, augment=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference_task, "MADE_UP", 0.0)
        before = plain[0, 0]
        patch.setattr(reference_task, "MADE_UP", 1.0)
        after = made_up[0, 0]
    scale = (after.f0 / before.f0).flatten()
    assert float(scale.std()) < 1e-3 and float(scale.mean()) != pytest.approx(1, abs=1e-3)
    places = scaled_bands(float(scale.mean()), config.data)
    torch.testing.assert_close(after.mel, stretched(before.mel, places), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(after.speaker_id, stretched(before.speaker_id, places), rtol=1e-3, atol=1e-3)
    assert torch.equal(after.units, before.units)


def test_an_instant_voice_is_an_ordinary_model_of_the_recordings(reference_base, tmp_path):
    write_audio(tmp_path / "安 na.wav", voice(3.0, 22050, 220.0), 22050)
    write_audio(tmp_path / "bob.wav", voice(3.0, 44100, 110.0), 44100)
    recordings, voices = ("安 na.wav", "bob.wav"), tmp_path / "voices"
    paths = [make_instant_voice(tmp_path / name, voices, reference_base, steps=0) for name in recordings]
    configs = [load_config(path.with_name("config.json")) for path in paths]
    assert [dict(config.spk) for config in configs] == [{"安 na": 0}, {"bob": 0}]
    medians = [config.f0_range[name][1] for config, name in zip(configs, ("安 na", "bob"), strict=True)]
    assert medians[0] / medians[1] == pytest.approx(2, rel=0.1)
    states = [model_state(path) for path in paths]
    model = GlowSVC(configs[0].model)
    model.load_state_dict(states[0])
    assert not torch.equal(states[0]["emb_g.weight"], states[1]["emb_g.weight"])
    changed = paths[0].stat().st_mtime_ns
    assert make_instant_voice(tmp_path / recordings[0], voices, reference_base, steps=0) == paths[0]
    assert paths[0].stat().st_mtime_ns == changed  # kept

    reference = ReferenceGlow(configs[0].model).eval()
    reference.load_state_dict(model_state(reference_base))
    inputs = (torch.randn(1, 12, 40), torch.full((1, 40), 200.0), torch.ones(1, 40))
    mel = torch.randn(1, 128, 100)
    for name, row in reference.tables([mel[0]]).items():
        model.get_parameter(name).data.copy_(row)
    expected, _ = reference.infer(*inputs, mel)
    found, _ = model.eval().infer(*inputs, torch.zeros(1, dtype=torch.int64))
    torch.testing.assert_close(found, expected)


def test_what_cannot_become_a_voice_says_why(reference_base, tmp_path):
    write_audio(tmp_path / "short.wav", voice(1.0, 44100, 220.0), 44100)
    write_audio(tmp_path / "silent.wav", np.zeros(44100, np.float32), 44100)
    (tmp_path / "empty").mkdir()
    for name, message in (("short.wav", "needs 2 s"), ("silent.wav", "0.0 s"), ("empty", "no recordings")):
        with pytest.raises(AudioError, match=message):
            make_instant_voice(tmp_path / name, tmp_path, reference_base)
    write_audio(tmp_path / "long.wav", voice(3.0, 44100, 220.0), 44100)
    write_checkpoint(reference_base, {"model": GlowSVC(parse_config(CONFIG).model).state_dict()})
    with pytest.raises(CheckpointError, match="cannot take a voice from recordings"):
        make_instant_voice(tmp_path / "long.wav", tmp_path, reference_base)


def test_training_starts_from_the_speakers_as_heard_in_their_clips(workspace):
    clips = [Path("dataset/44k/anna/0.wav"), Path("dataset/44k/anna/1.wav")]
    config = load_config("configs/config.json")
    torch.manual_seed(1)
    trained = ReferenceGlow(config.model)
    task = GlowTask(config, clips, clips[1:], torch.device("cpu"))
    fit, notes = base_model.fit_base(task, trained.state_dict())
    assert notes == ["anna as heard in the recordings"]
    task.model.load_state_dict(fit)
    wanted = trained.eval().tables([torch.cat([load_mel(clip) for clip in clips], 1)])
    for name, row in wanted.items():
        torch.testing.assert_close(fit[name], row)
    other = ReferenceGlow(parse_config({**CONFIG, "model": {**CONFIG["model"], "gin_channels": 16}}).model)
    with pytest.raises(CheckpointError, match="other sizes"):
        base_model.fit_base(task, other.state_dict())


def test_a_base_model_is_compressed_and_mixed_as_other_models_are(reference_base, tmp_path):
    done = compress_model(
        reference_base, tmp_path / "half.safetensors", reference_base.with_name("config.json"), half=True
    )
    assert (
        done.kind == "base model"
        and done.config_path
        and done.mel_change is not None
        and max(done.mel_change) < 0.05
    )
    state = model_state(reference_base)
    other = reference_base.with_name("other.pth")
    write_checkpoint(
        other, {"model": {name: x + 1 if x.is_floating_point() else x for name, x in state.items()}}
    )
    mixed = model_state(mix_models([reference_base, other], (50, 50), tmp_path / "mixed.pth").path)
    name = "reference.out.bias"
    torch.testing.assert_close(mixed[name], state[name] + 0.5)
