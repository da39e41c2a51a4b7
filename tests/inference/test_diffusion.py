"""Conversions with a diffusion model: after the Glow model or alone, with what they refuse."""

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import soundfile
import torch
import yaml

from diffusion.samplers import SAMPLERS
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.pipeline import Segment
from modules.checkpoint import read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError, ConfigError, MissingWeightsError
from tests.inference.tiny import RATE, write_diffusion, write_model, write_vocoder
from tests.support.golden_cases import voice

FEW = {"k_step": 40, "diffusion_speedup": 10}


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, voice(1.5, RATE), RATE)
    return path


@pytest.fixture
def options(tmp_path) -> ConvertOptions:
    model, config = write_model(tmp_path / "glow")
    diffusion, yaml = write_diffusion(tmp_path / "diffusion")
    return ConvertOptions(
        model_path=str(model),
        config_path=str(config),
        diffusion_model_path=str(diffusion),
        diffusion_config_path=str(yaml),
        device="cpu",
        wav_format="wav",
        pad_seconds=0.1,
        **FEW,
    )


def convert(options, song, speaker="anna", **changes) -> np.ndarray:
    options = dataclasses.replace(options, **changes)
    result = Converter(options).convert(song, song.with_name("result.wav"), speaker)
    return soundfile.read(result.path, dtype="float32")[0]


def test_modes_differ_and_keep_the_length(options, song):
    results = {
        name: convert(options, song, **changes)
        for name, changes in {
            "glow": {},
            "shallow": {"shallow_diffusion": True},
            "second": {"shallow_diffusion": True, "second_encoding": True},
            "deeper": {"shallow_diffusion": True, "k_step": 400},
            "alone": {"only_diffusion": True, "diffusion_speedup": 100},
        }.items()
    }
    assert {len(audio) for audio in results.values()} == {round(1.5 * RATE)}
    audios = list(results.values())
    for i, one in enumerate(audios):
        assert np.isfinite(one).all()
        assert all(np.abs(one - other).max() > 1e-4 for other in audios[:i])


def test_the_same_song_gives_the_same_samples(options, song):
    once, again = (convert(options, song, shallow_diffusion=True) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("only", [False, True])
def test_slices_agree_where_they_overlap(options, only):
    """Noise belongs to the song's frames, so a mel does not depend on where the song was cut."""
    mode = {"only_diffusion": True, "diffusion_speedup": 100} if only else {"shallow_diffusion": True}
    converter = Converter(dataclasses.replace(options, **mode))
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
    kind = SAMPLERS[method].model_type
    model, yaml = write_diffusion(tmp_path / kind, type=kind)
    files = {"diffusion_model_path": str(model), "diffusion_config_path": str(yaml)}
    audio = convert(options, song, shallow_diffusion=True, diffusion_method=method, **files)
    assert len(audio) == round(1.5 * RATE) and np.abs(audio).max() > 0


def test_every_step_is_taken_with_speedup_1(options, song):
    seen = []
    converter = Converter(dataclasses.replace(options, shallow_diffusion=True, diffusion_speedup=1))
    converter.convert(song, song.with_name("r.wav"), "anna", 0, lambda done, total: seen.append(done / total))
    assert seen == sorted(seen) and seen[-1] == 1
    assert len(seen) > 40  # progress within the slice


def test_a_diffusion_model_alone_needs_no_glow_model(options, song, monkeypatch):
    def never(*args):
        raise AssertionError("a Glow model was built")

    monkeypatch.setattr("inference.converter.GlowSVC", never)
    alone = {"only_diffusion": True, "diffusion_speedup": 100, "model_path": "no", "config_path": "no"}
    assert len(convert(options, song, **alone)) == round(1.5 * RATE)
    np.testing.assert_array_equal(
        convert(options, song, "花子", **alone), convert(options, song, 1, **alone)
    )  # ids serve too
    with pytest.raises(ConfigError, match="no speaker 'bob'"):
        convert(options, song, "bob", **alone)
    with pytest.raises(ConfigError, match="-a: a diffusion model alone cannot"):
        convert(options, song, auto_predict_f0=True, **alone)


def test_alone_it_sounds_by_the_vocoder_it_was_trained_with(options, tmp_path, song, monkeypatch, caplog):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "empty"))
    write_vocoder(tmp_path / "own")
    model, settings = write_diffusion(tmp_path / "model")
    files = {"diffusion_model_path": str(model), "diffusion_config_path": str(settings)}
    values = yaml.safe_load(settings.read_text(encoding="utf-8"))
    for place, there in {"own/nsf_hifigan/model": True, "lost/model": False}.items():
        values["vocoder"] = {"type": "nsf-hifigan", "ckpt": str(tmp_path / place)}
        settings.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        with nullcontext() if there else pytest.raises(MissingWeightsError):
            convert(options, song, only_diffusion=True, diffusion_speedup=100, **files)
        assert any("vocoder.ckpt: there is no" in line for line in caplog.messages) != there


def test_speakers_are_matched_by_name(options, tmp_path, song):
    """The two models may have been made from different folders."""
    model, yaml = write_diffusion(tmp_path / "other", {"zoe": 0, "花子": 1, "anna": 2})
    shallow = {
        "shallow_diffusion": True,
        "diffusion_model_path": str(model),
        "diffusion_config_path": str(yaml),
    }
    converter = Converter(dataclasses.replace(options, **shallow))
    ids = []
    infer = converter.refiner.model.infer
    converter.refiner.model.infer = lambda *args, **kw: ids.append(int(args[3])) or infer(*args, **kw)
    for name, number in {"anna": 2, "花子": 1}.items():
        converter.convert(song, tmp_path / "y.wav", name)
        assert set(ids) == {number}
        ids.clear()
    model, yaml = write_diffusion(tmp_path / "less", {"花子": 0})
    shallow |= {"diffusion_model_path": str(model), "diffusion_config_path": str(yaml)}
    with pytest.raises(ConfigError, match="does not know the speaker 'anna'.* 花子"):
        convert(options, song, **shallow)


def test_one_unnamed_voice_serves_every_speaker(options, tmp_path, song):
    """Diffusion-SVC base models have no names."""
    model, yaml = write_diffusion(tmp_path / "base", {})
    files = {"diffusion_model_path": str(model), "diffusion_config_path": str(yaml)}
    assert len(convert(options, song, "花子", shallow_diffusion=True, **files)) == round(1.5 * RATE)
    assert len(convert(options, song, 0, only_diffusion=True, **files)) == round(1.5 * RATE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"only_diffusion": True}, r"last 40 of 1000 steps .*can only refine a mel: use shallow diffusion"),
        ({"shallow_diffusion": True, "k_step": 41}, "k_step is 41, but the model is trained for 40 steps"),
        (
            {"shallow_diffusion": True, "k_step": 40, "diffusion_method": "euler"},
            "euler.* is not a sampling method",
        ),
    ],
)
def test_what_the_model_is_not_trained_for(options, tmp_path, song, changes, message):
    model, yaml = write_diffusion(tmp_path / "shallow", k_step_max=40)
    files = {"diffusion_model_path": str(model), "diffusion_config_path": str(yaml)}
    with pytest.raises(ConfigError, match=message):
        convert(options, song, **(files | changes))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k_step": 0}, "-ks must be at least 1"),
        ({"k_step": -3}, "-ks must be at least 1"),
        ({"diffusion_speedup": 0}, "--diffusion_speedup must be at least 1"),
        ({"second_encoding": True}, "-se belongs to shallow diffusion; add -shd"),
    ],
)
def test_options_that_make_no_sense(values, message):
    with pytest.raises(ConfigError, match=message):
        ConvertOptions(**values)


def test_models_that_do_not_fit_together(options, tmp_path, song):
    model, config = write_model(tmp_path / "other", speech_encoder="vec256l9", ssl_dim=256)
    with pytest.raises(ConfigError, match="its speech encoder is mfcc, the voice model's is vec256l9"):
        convert(options, song, shallow_diffusion=True, model_path=str(model), config_path=str(config))
    _, yaml = write_diffusion(tmp_path / "embeddings", use_speaker_encoder=True)
    with pytest.raises(ConfigError, match="embeddings of a speaker encoder"):
        convert(options, song, shallow_diffusion=True, diffusion_config_path=str(yaml))
    with pytest.raises(CheckpointError, match=r"no\.pt does not exist"):
        convert(options, song, shallow_diffusion=True, diffusion_model_path="no.pt")
    with pytest.raises(ConfigError, match="no.yaml does not exist"):
        convert(options, song, shallow_diffusion=True, diffusion_config_path="no.yaml")
    with pytest.raises(CheckpointError, match=r"G_8\.pth"):
        convert(options, song, shallow_diffusion=True, diffusion_model_path=options.model_path)


def test_a_broken_diffusion_model_is_named(options, tmp_path, song):
    content = read_checkpoint(options.diffusion_model_path)
    bias = content["model"]["decoder.denoise_fn.output_projection.bias"]
    content["model"]["decoder.denoise_fn.output_projection.bias"] = torch.full_like(bias, float("nan"))
    write_checkpoint(tmp_path / "nan.pt", content)
    with pytest.raises(CheckpointError, match=r"nan\.pt gives NaN"):
        convert(options, song, shallow_diffusion=True, diffusion_model_path=str(tmp_path / "nan.pt"))


def test_second_encoding_needs_a_glow_model(options, song, caplog):
    alone = {"only_diffusion": True, "diffusion_speedup": 100}
    plain = convert(options, song, **alone)
    np.testing.assert_array_equal(convert(options, song, second_encoding=True, **alone), plain)
    assert "no audio that -se could encode" in caplog.text


def test_the_enhancer_is_left_out_with_a_word(options, song, caplog):
    plain = convert(options, song, shallow_diffusion=True)
    np.testing.assert_array_equal(convert(options, song, shallow_diffusion=True, enhance=True), plain)
    assert "-eh has no effect" in caplog.text


def test_half_precision_changes_little(options, song):
    shallow = {"shallow_diffusion": True}
    full, half = (convert(options, song, precision=name, **shallow) for name in ("fp32", "bf16"))
    assert 0 < np.abs(full - half).max() and np.std(full - half) < 0.3 * np.std(full)
