"""Conversions with a diffusion model: after the Glow model or alone, with what they refuse."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from diffusion.samplers import SAMPLERS
from inference.converter import Converter
from inference.pipeline import Segment
from modules.checkpoint import read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError, ConfigError, MissingWeightsError
from tests.inference.tiny import RATE, convert, write_diffusion, write_model, write_vocoder, write_voice

SHALLOW = {"shallow_diffusion": True}
ALONE = {"only_diffusion": True, "diffusion_speedup": 100}
LENGTH = round(1.5 * RATE)


def files(folder, *args, **model) -> dict[str, str]:
    """Write a diffusion model; return the options that name it."""
    path, config = write_diffusion(folder, *args, **model)
    return {"diffusion_model_path": str(path), "diffusion_config_path": str(config)}


def test_modes_differ_and_keep_the_length_and_with_speedup_1_every_step_is_taken(options, song):
    again, late = {**SHALLOW, "second_encoding": True}, {**SHALLOW, "k_step": 400}
    audios = [convert(options, song, **changes) for changes in ({}, SHALLOW, again, late, ALONE)]
    assert {len(audio) for audio in audios} == {LENGTH}
    for i, one in enumerate(audios):
        assert np.isfinite(one).all()
        assert all(np.abs(one - other).max() > 1e-4 for other in audios[:i])
    np.testing.assert_array_equal(convert(options, song, **SHALLOW), audios[1])
    seen = []
    converter = Converter(replace(options, **SHALLOW, diffusion_speedup=1))
    converter.convert(song, song.with_name("r.wav"), "anna", 0, lambda *seconds: seen.append(seconds))
    assert seen[0] == (0, 0)  # it reads
    seen = [done / total for done, total in seen if total]
    assert seen == sorted(seen) and seen[-1] == 1
    assert len(seen) > 40  # progress within the slice


@pytest.mark.parametrize(
    "changes", [SHALLOW, ALONE, {**SHALLOW, "k_step": 10, "diffusion_speedup": 1}], ids=str
)
def test_slices_agree_where_they_overlap(options, changes):
    """Noise belongs to the song's frames, so a mel does not depend on where the song was cut.

    The last way draws noise at every step.
    """
    converter, only = Converter(replace(options, **changes)), changes == ALONE
    rng = np.random.default_rng(0)
    units, tracks = rng.normal(size=(12, 200)), rng.uniform(0.1, 1, size=(3, 200))

    def mel(first, last):
        f0, uv, volume = tracks[:, first:last].astype(np.float32)
        segment = Segment(first, units[:, first:last].astype(np.float32), 300 * f0, uv, volume, 1)
        tensors = torch.from_numpy(segment.units), torch.from_numpy(segment.f0)
        start = None if only else torch.from_numpy(units[0, first:last]).float().expand(128, -1)
        return converter.refiner.refine(segment, *tensors, start, lambda share: None)

    # two layers of three taps, ten evaluations at most: the ends, 30 frames away, are not seen
    torch.testing.assert_close(mel(0, 150)[:, 80:120], mel(50, 200)[:, 30:70], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", [name for name, spec in SAMPLERS.items() if spec.selectable])
def test_every_method(options, tmp_path, song, method):
    model = files(tmp_path, type=SAMPLERS[method].model_type)
    audio = convert(options, song, **SHALLOW, **model, diffusion_method=method)
    assert len(audio) == LENGTH and np.abs(audio).max() > 0


def test_a_diffusion_model_alone_needs_no_glow_model(options, song, monkeypatch, caplog):
    monkeypatch.delattr("inference.converter.GlowSVC")
    alone = {**ALONE, "model_path": "no", "config_path": "no"}
    audio = convert(options, song, "花子", **alone)
    assert len(audio) == LENGTH
    np.testing.assert_array_equal(convert(options, song, 1, **alone), audio)  # ids serve too
    np.testing.assert_array_equal(convert(options, song, 1, second_encoding=True, **alone), audio)
    assert "-se has no effect with -od" in caplog.text
    with pytest.raises(ConfigError, match="no speaker 'bob'"):
        convert(options, song, "bob", **alone)
    with pytest.raises(ConfigError, match="-a: a diffusion model alone cannot"):
        convert(options, song, auto_predict_f0=True, **alone)


def test_alone_it_uses_the_vocoder_it_was_trained_with(options, tmp_path, song, monkeypatch, caplog):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "empty"))
    write_vocoder(tmp_path / "own")
    model = files(tmp_path / "model")
    settings = tmp_path / "model" / "config.yaml"
    values = yaml.safe_load(settings.read_text(encoding="utf-8"))
    for place, there in {"own/nsf_hifigan/model": True, "lost/model": False}.items():
        values["vocoder"] = {"type": "nsf-hifigan", "ckpt": str(tmp_path / place)}
        settings.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        with nullcontext() if there else pytest.raises(MissingWeightsError):
            convert(options, song, **ALONE, **model)
        assert ("lost/model does not exist" in caplog.text) != there


def test_a_schedule_that_does_not_end_in_noise_is_named(options, tmp_path, caplog):
    """With 100 steps of the published betas 60 % of the mel is left in the noisiest one."""
    few, reflow = (
        files(tmp_path / "few", timesteps=100),
        files(tmp_path / "flow", timesteps=100, type="ReFlow"),
    )
    for changes, warned in (
        ({**ALONE, **few}, True),
        ({**SHALLOW, **few, "k_step": 40}, False),
        (ALONE, False),
        ({**ALONE, **reflow}, False),
    ):
        caplog.clear()
        Converter(replace(options, **changes))
        assert ("model.timesteps 100: with so few steps 60 % of the mel is left" in caplog.text) == warned


def test_the_vocoder_of_a_shallow_diffusion_model_is_its_own(tmp_path, song, monkeypatch, caplog):
    """vocoder.ckpt may name a vocoder that was adapted to the voice."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "nothing"))
    write_vocoder(tmp_path / "own")
    for vocoder in ("nsf-hifigan", "world"):
        options = write_voice(tmp_path / vocoder, vocoder_name=vocoder)
        settings = Path(options.diffusion_config_path)
        values = yaml.safe_load(settings.read_text(encoding="utf-8"))
        values["vocoder"] = {"type": "nsf-hifigan", "ckpt": str(tmp_path / "own/nsf_hifigan/model")}
        settings.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        assert np.abs(convert(options, song, **SHALLOW)).max() > 0
    assert [line for line in caplog.messages if "vocoder.ckpt" in line] == [
        "vocoder.ckpt has no effect: it is for nsf-hifigan, the voice model uses world"
    ]


def test_speakers_are_matched_by_name_and_one_without_a_name_serves_every_speaker(options, tmp_path, song):
    """The two models may have been made from different folders."""
    model = files(tmp_path / "other", {"zoe": 0, "花子": 1, "anna": 2})
    converter, ids = Converter(replace(options, **SHALLOW, **model)), []
    infer = converter.refiner.model.infer
    converter.refiner.model.infer = lambda *args, **kw: ids.append(int(args[3])) or infer(*args, **kw)
    for name, number in {"anna": 2, "花子": 1}.items():
        converter.convert(song, tmp_path / "y.wav", name)
        assert set(ids) == {number}
        ids.clear()
    with pytest.raises(ConfigError, match="does not know the speaker 'anna'.* 花子"):
        convert(options, song, **SHALLOW, **files(tmp_path / "less", {"花子": 0}))
    # Diffusion-SVC base models have no names
    model = files(tmp_path, {})
    assert len(convert(options, song, "花子", **SHALLOW, **model)) == LENGTH
    assert len(convert(options, song, 0, **ALONE, **model)) == LENGTH


def test_models_that_do_not_fit_or_are_broken_are_refused(options, tmp_path, song):
    model, config = map(str, write_model(tmp_path / "other", speech_encoder="vec256l9", ssl_dim=256))
    other = {"model_path": model, "config_path": config}
    short = files(tmp_path / "short", k_step_max=40)
    content = read_checkpoint(options.diffusion_model_path)
    content["model"]["decoder.denoise_fn.output_projection.bias"].fill_(float("nan"))
    write_checkpoint(tmp_path / "nan.pt", content)
    broken = {**SHALLOW, "diffusion_model_path": str(tmp_path / "nan.pt")}
    for changes, error, message in (
        (broken, CheckpointError, r"nan\.pt gives NaN"),
        ({**ALONE, **short}, ConfigError, r"last 40 of 1000 steps .*can only refine a mel: use shallow diff"),
        ({**SHALLOW, **short, "k_step": 41}, ConfigError, "k_step is 41, but the model is trained for 40"),
        ({**SHALLOW, **short, "diffusion_method": "euler"}, ConfigError, "euler.* sampling method"),
        ({**SHALLOW, **other}, ConfigError, "speech encoder is mfcc, the voice model's is vec256l9"),
        (
            {**SHALLOW, **files(tmp_path, use_speaker_encoder=True)},
            ConfigError,
            "embeddings of a speaker enc",
        ),
        ({**SHALLOW, "diffusion_model_path": "no.pt"}, CheckpointError, r"no\.pt does not exist"),
        ({**SHALLOW, "diffusion_config_path": "no.yaml"}, ConfigError, "no.yaml does not exist"),
        ({**SHALLOW, "diffusion_model_path": options.model_path}, CheckpointError, r"G_8\.pth"),
    ):
        with pytest.raises(error, match=message):
            convert(options, song, **changes)


def test_the_enhancer_is_left_out_with_a_warning_and_half_precision_changes_little(options, song, caplog):
    plain = convert(options, song, **SHALLOW)
    np.testing.assert_array_equal(convert(options, song, **SHALLOW, enhance=True), plain)
    assert "-eh has no effect" in caplog.text
    half = convert(options, song, **SHALLOW, precision="bf16")
    assert 0 < np.abs(plain - half).max() and np.std(plain - half) < 0.3 * np.std(plain)
