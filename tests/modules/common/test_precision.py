"""-pr auto: half precision where it was measured to change nothing that is heard, float32 elsewhere."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.quality.precision import spectral_distance
from benchmarks.workspace import synthetic_song
from inference.converter import Converter
from inference.options import ConvertOptions
from modules.common.device import cpu_has_bf16, half_format
from modules.common.precision import (
    BOUND,
    ENCODER,
    HALF,
    PRECISIONS,
    PREDICTOR,
    VOCODER,
    choose_format,
    choose_formats,
)
from modules.dsp.mel import LogMel
from modules.f0_predictor import F0_PREDICTORS
from tests.inference.tiny import RATE, convert, write_song, write_vocoder, write_voice
from vdecoder import VOCODERS
from vencoder import ENCODERS


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options that name a tiny voice model with a neural vocoder, and its diffusion model."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    write_vocoder(tmp_path / "pretrain")
    made = write_voice(tmp_path / "model", vocoder_name="nsf-hifigan")
    return replace(made, precision="auto", shallow_diffusion=True, k_step=40, pad_seconds=0.1)


@pytest.fixture
def song(tmp_path):
    return write_song(tmp_path / "song.wav", synthetic_song(2.0, 3))


def test_the_table_holds_every_network_there_is_and_no_other():
    assert set(HALF[ENCODER]) == {name for name, spec in ENCODERS.items() if not spec.without_torch}
    assert set(HALF[PREDICTOR]) == {name for name, spec in F0_PREDICTORS.items() if not spec.without_torch}
    assert set(HALF[VOCODER]) == {name for name, spec in VOCODERS.items() if spec.weights}


def test_formats_follow_the_table_or_the_flag():
    for stage, networks in HALF.items():
        for network, half in networks.items():
            assert choose_format("auto", "float16", stage, network) == ("float16" if half else "float32")
            assert choose_format("auto", "float32", stage, network) == "float32"
            for precision in PRECISIONS.keys() - {"auto"}:  # F0 predictors have always been in float32
                wanted = "float32" if stage == PREDICTOR else PRECISIONS[precision]
                assert choose_format(precision, "bfloat16", stage, network) == wanted
    # parts without a network are not told of
    assert choose_formats("bf16", "float32", {ENCODER: "mfcc", PREDICTOR: "pm", VOCODER: "world"}) == {}


@pytest.mark.parametrize(
    ("capability", "name"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float32")]
)
def test_a_gpu_has_the_formats_of_its_generation(monkeypatch, capability, name):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert half_format(torch.device("cuda:1")) == name
    assert half_format(torch.device("mps")) == "float32"


def test_without_instructions_for_it_auto_is_float32_bit_for_bit(options, song, monkeypatch, caplog):
    monkeypatch.setattr("modules.common.device.cpu_has_bf16", lambda: False)
    caplog.set_level(logging.INFO, "inference")
    auto = convert(options, song)
    assert ConvertOptions().precision == "auto" and np.abs(auto).max() > 1e-3
    assert [line for line in caplog.messages if line.startswith("precision")] == [
        "precision auto on cpu: Glow model float32, diffusion model float32, vocoder float32"
    ]
    np.testing.assert_array_equal(auto, convert(options, song, precision="fp32"))


@pytest.mark.skipif(not cpu_has_bf16(), reason="this processor has no instructions for bfloat16")
def test_with_instructions_for_it_auto_stays_within_its_bound_of_float32(options, song):
    assert "bfloat16" in Converter(options).formats.values()
    auto, full = (torch.from_numpy(convert(options, song, precision=name)) for name in ("auto", "fp32"))
    assert len(auto) == 2 * RATE and not torch.equal(auto, full)
    mels = LogMel()(torch.stack([auto, full]))
    assert spectral_distance(full, auto) < BOUND.spectrum
    assert (mels[0] - mels[1]).abs().mean() < BOUND.mel
