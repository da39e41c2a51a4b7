"""Options: published flags and defaults, one source for all, values checked."""

import argparse
from dataclasses import fields

import pytest

from inference.options import ConvertOptions, add_arguments, from_arguments
from modules.common.errors import ConfigError
from modules.f0_predictor import F0_PREDICTORS


def parse(*argv: str) -> ConvertOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args(argv))


def test_command_line_without_flags_is_the_dataclass_default():
    assert parse() == ConvertOptions()


def test_published_defaults():
    options = ConvertOptions()
    assert options.model_path == "logs/44k/G_37600.pth"
    assert options.config_path == "logs/44k/config.json"
    assert (options.clip, options.linear_gradient, options.linear_gradient_retain) == (0, 0, 0.75)
    assert (options.f0_predictor, options.f0_filter_threshold, options.auto_predict_f0) == ("pm", 0.05, False)
    assert (options.slice_db, options.pad_seconds, options.noise_scale) == (-40, 0.5, 0.4)
    assert (options.wav_format, options.device, options.trans) == ("flac", None, (0,))


@pytest.mark.parametrize(
    ("short", "long", "text", "name", "value"),
    [
        ("-m", "--model_path", "G_8.pth", "model_path", "G_8.pth"),
        ("-c", "--config_path", "c.json", "config_path", "c.json"),
        ("-n", "--clean_names", "君の知らない 物語.wav", "clean_names", ("君の知らない 物語.wav",)),
        ("-t", "--trans", "-12", "trans", (-12,)),
        ("-s", "--spk_list", "0", "spk_list", ("0",)),
        ("-cl", "--clip", "25", "clip", 25),
        ("-lg", "--linear_gradient", "1", "linear_gradient", 1),
        ("-lgr", "--linear_gradient_retain", "0.5", "linear_gradient_retain", 0.5),
        ("-f0p", "--f0_predictor", "dio", "f0_predictor", "dio"),
        ("-ft", "--f0_filter_threshold", "0.1", "f0_filter_threshold", 0.1),
        ("-sd", "--slice_db", "-50", "slice_db", -50),
        ("-p", "--pad_seconds", "0", "pad_seconds", 0),
        ("-ns", "--noice_scale", "0.2", "noise_scale", 0.2),
        ("-ns", "--noise_scale", "0.2", "noise_scale", 0.2),
        ("-wf", "--wav_format", "wav", "wav_format", "wav"),
        ("-d", "--device", "cuda:1", "device", "cuda:1"),
    ],
)
def test_published_flags(short, long, text, name, value):
    assert getattr(parse(short, text), name) == getattr(parse(long, text), name) == value


def test_lists_and_switches():
    options = parse("-n", "a", "b", "-t", "3", "-2", "-s", "anna", "1", "-a")
    assert options.clean_names == ("a", "b")
    assert options.trans == (3, -2)
    assert options.spk_list == ("anna", "1")
    assert options.auto_predict_f0


def test_every_option_explains_itself():
    for option in fields(ConvertOptions):
        assert len(option.metadata["help"]) > 10
        assert option.metadata["flags"]
    (predictor,) = (option for option in fields(ConvertOptions) if option.name == "f0_predictor")
    assert predictor.metadata["choices"] == tuple(F0_PREDICTORS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"f0_predictor": "swipe"}, "unknown F0 predictor 'swipe'"),
        ({"slice_db": 3.0}, "-sd must be between -200 and 0"),
        ({"pad_seconds": -0.1}, "-p must"),
        ({"noise_scale": float("nan")}, "-ns must"),
        ({"f0_filter_threshold": 1.5}, "-ft must"),
        ({"trans": (0.0, 99.0)}, "-t must"),
        ({"clip": 1.0, "linear_gradient": 2.0}, "-lg"),
        ({"linear_gradient_retain": 0.0}, "-lgr"),
    ],
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        ConvertOptions(**values)


def test_one_key_for_all_songs_or_one_for_each():
    assert ConvertOptions(trans=(5.0,)).keys(3) == (5, 5, 5)
    assert ConvertOptions(trans=(5.0, -7.0)).keys(2) == (5, -7)
    with pytest.raises(ConfigError, match="2 keys for 3 song"):
        ConvertOptions(trans=(5.0, -7.0)).keys(3)
