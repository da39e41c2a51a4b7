"""Options: published flags and defaults, values checked, against each other and against the model."""

import argparse
import logging
from dataclasses import fields, replace

import pytest

from inference.converter import Converter
from inference.options import ConvertOptions
from inference.options.arguments import add_arguments, from_arguments
from modules.common.errors import CheckpointError, ConfigError, MissingWeightsError
from modules.f0_predictor import F0_PREDICTORS
from tests.inference.tiny import write_voice


def parse(*argv: str) -> ConvertOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args(argv))


def test_published_defaults_and_flags_and_an_explanation_of_every_option():
    options = ConvertOptions()
    assert parse() == options
    assert options.model_path == "logs/44k/G_37600.pth"
    assert (options.config_path, options.diffusion_config_path) == ("", "")  # beside the models
    assert (options.clip, options.linear_gradient, options.linear_gradient_retain) == (0, 0, 0.75)
    assert (options.f0_predictor, options.f0_filter_threshold, options.auto_predict_f0) == (
        "swift-f0",
        0.05,
        False,
    )
    assert (options.slice_db, options.pad_seconds, options.noise_scale) == (-40, 0.5, 0.4)
    assert (options.wav_format, options.device, options.trans) == ("flac", None, (0,))
    for option in fields(ConvertOptions):
        assert len(option.metadata["help"]) > 10 and option.metadata["flags"]
    (predictor,) = (option for option in fields(ConvertOptions) if option.name == "f0_predictor")
    assert predictor.metadata["choices"] == tuple(F0_PREDICTORS)
    for flags, text, name, value in (
        ("-m --model_path", "G_8.pth", "model_path", "G_8.pth"),
        ("-c --config_path", "c.json", "config_path", "c.json"),
        ("-n --clean_names", "君の知らない 物語.wav", "clean_names", ("君の知らない 物語.wav",)),
        ("-t --trans", "-12", "trans", (-12,)),
        ("-s --spk_list", "0", "spk_list", ("0",)),
        ("-cl --clip", "25", "clip", 25),
        ("-lg --linear_gradient", "1", "linear_gradient", 1),
        ("-lgr --linear_gradient_retain", "0.5", "linear_gradient_retain", 0.5),
        ("-f0p --f0_predictor", "dio", "f0_predictor", "dio"),
        ("-ft --f0_filter_threshold", "0.1", "f0_filter_threshold", 0.1),
        ("-sd --slice_db", "-50", "slice_db", -50),
        ("-p --pad_seconds", "0", "pad_seconds", 0),
        ("-ns --noise_scale --noice_scale", "0.2", "noise_scale", 0.2),
        ("-wf --wav_format", "wav", "wav_format", "wav"),
        ("-d --device", "cuda:1", "device", "cuda:1"),
    ):
        for flag in flags.split():
            assert getattr(parse(flag, text), name) == value
    options = parse("-n", "a", "b", "-t", "3", "-2", "-s", "anna", "1", "-a")
    assert (options.clean_names, options.spk_list) == (("a", "b"), ("anna", "1"))
    assert options.trans == (3, -2) and options.auto_predict_f0


def test_values_out_of_range_and_keys_for_other_songs_are_refused():
    for values, message in (
        ({"f0_predictor": "swipe"}, "unknown F0 predictor 'swipe'"),
        ({"slice_db": 3.0}, "-sd must be between -200 and 0"),
        ({"pad_seconds": -0.1}, "-p must"),
        ({"noise_scale": float("nan")}, "-ns must"),
        ({"f0_filter_threshold": 1.5}, "-ft must"),
        ({"cluster_infer_ratio": 1.5}, "-cr must be between 0 and 1"),
        ({"trans": (0.0, 99.0)}, "-t must"),
        ({"clip": 0.5, "linear_gradient": 1.0}, "-lg: .*does not fit into slices of 0.5 s"),
        ({"clip": 2.0, "linear_gradient_retain": 0.0}, "-lgr"),
        ({"clip": 2.0, "linear_gradient_retain": 1.01}, "-lgr"),
        ({"clip": 2.0, "linear_gradient_retain": float("nan")}, "-lgr"),
        ({"clip": -1.0}, "-cl must"),
        ({"clip": float("nan")}, "-cl must"),
        ({"clip": 2.0, "linear_gradient": -0.1}, "-lg must"),
        ({"k_step": 0}, "-ks must be at least 1"),
        ({"diffusion_speedup": 0}, "--diffusion_speedup must be at least 1"),
        ({"second_encoding": True}, "-se belongs to shallow diffusion; add -shd"),
        ({"precision": "fp8"}, "-pr must be one of auto, fp32, bf16, fp16"),
    ):
        with pytest.raises(ConfigError, match=message):
            ConvertOptions(**values)
    assert ConvertOptions(trans=(5.0,)).keys(3) == (5, 5, 5)
    assert ConvertOptions(trans=(5.0, -7.0)).keys(2) == (5, -7)
    with pytest.raises(ConfigError, match="2 keys for 3 song"):
        ConvertOptions(trans=(5.0, -7.0)).keys(3)


@pytest.mark.parametrize(
    ("model", "changes", "error", "message"),
    [
        ({"use_automatic_f0_prediction": False}, {"auto_predict_f0": True}, ConfigError, "-a: this"),
        ({}, {"wav_format": "m4a"}, ConfigError, "-wf"),
        ({}, {"model_path": "G_0.pth"}, CheckpointError, "does not exist"),
        ({"ssl_dim": 13}, {}, ConfigError, "units of 13 channels, but encoder 'mfcc' gives 12"),
        ({}, {"enhance": True}, MissingWeightsError, "python -m pretrain nsf-hifigan"),
        ({"vocoder_name": "nsf-hifigan"}, {}, MissingWeightsError, "python -m pretrain nsf-hifigan"),
    ],
    ids=str,
)
def test_options_that_the_model_cannot_fulfil(tmp_path, monkeypatch, model, changes, error, message):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    options = write_voice(tmp_path / "model", **model)
    with pytest.raises(error, match=message):
        Converter(replace(options, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_retrieval": True}, "-fr has no effect without -cr"),
        ({"linear_gradient": 0.5}, "-lg has no effect without -cl"),
        ({"enhancer_adaptive_key": 2.0}, "-eak has no effect without -eh"),
        ({"mute_unvoiced": True}, "-mu has no effect on the vocoder 'world'"),
        ({"clip": 31.0, "linear_gradient": 0.5}, "-lg has no effect with a -cl above 30 s"),
        ({"linear_gradient_retain": 0.5}, "-lgr has no effect without -cl and -lg"),
        ({"clip": 2.0, "linear_gradient_retain": 0.5}, "-lgr has no effect without -cl and -lg"),
        ({"f0_filter_threshold": 0.5}, "-ft has no effect on -f0p pm"),
        ({"k_step": 50}, "-ks has no effect without -shd"),
        ({"spk_mix_file": "mine.py"}, "--spk_mix_file has no effect without -usm"),
        ({"cluster_model_path": "mine.pt"}, "-cm has no effect without -cr"),
        ({"diffusion_model_path": "model_1.pt"}, "-dm has no effect without -shd or -od"),
        ({"diffusion_config_path": "other.yaml"}, "-dc has no effect without -shd or -od"),
        ({"diffusion_method": "ddim"}, "--diffusion_method has no effect without -shd or -od"),
        ({"diffusion_speedup": 5}, "--diffusion_speedup has no effect without -shd or -od"),
        ({"auto_predict_f0": True, "trans": (3.0,)}, "-t has no effect with -a"),
        ({"precision": "bf16"}, "-pr bf16: this CPU has no instructions for it and is slower"),
    ],
)
def test_options_without_effect_or_use_are_warned_of(tmp_path, monkeypatch, caplog, changes, message):
    monkeypatch.setattr("modules.common.device.cpu_has_bf16", lambda: False)
    caplog.set_level(logging.WARNING)
    options = write_voice(tmp_path)
    Converter(replace(options, **{"diffusion_model_path": "", "diffusion_config_path": "", **changes}))
    lines = [line for line in caplog.messages if not line.startswith("-a: the F0 decoder of")]
    assert [line.startswith(message) for line in lines] == [True]
    caplog.clear()
    monkeypatch.setattr("modules.common.device.cpu_has_bf16", lambda: True)
    Converter(replace(options, diffusion_model_path="", diffusion_config_path="", precision="bf16"))
    assert not caplog.messages
