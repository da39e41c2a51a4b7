"""Units of a slice: the window that the encoder gets, around it and within the song; and when they are."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from inference.converter import Converter
from inference.encoder_context import expand_window
from inference.options import ConvertOptions
from inference.pipeline import Segment
from modules.dsp.align import align_units
from modules.dsp.unit_clock import UnitClock
from tests.inference.tiny import HOP, RATE, write_song

SECONDS = np.arange(20 * RATE, dtype=np.float32) / RATE


class TimeAsUnits:
    """An encoder whose units are its input, a ramp: they tell the second that they stand for."""

    sampling_rate = 16000

    def __init__(self, context_seconds: float, centre: int = 160) -> None:
        self.context_seconds, self.clock = context_seconds, UnitClock(centre)
        self.lengths: list[float] = []

    def encode(self, audio):
        self.lengths.append(len(audio) / 16000)
        # without padding, the last windows of 400 samples are not whole
        end = len(audio) - (200 if self.clock.centre == 200 else 0)
        return audio[self.clock.centre : end : 320].expand(12, -1) * 100


@pytest.fixture
def convert_ramp(options, tmp_path, monkeypatch):
    """Convert 20 s of a ramp with this encoder in slices of 2 s; return their segments."""
    song = write_song(tmp_path / "ramp.wav", SECONDS / 100, subtype="FLOAT")

    def call(encoder: TimeAsUnits, **changes) -> list[Segment]:
        chosen = {"clip": 2.0, "pad_seconds": 0.2, "slice_db": -200.0, **changes}
        converter, segments = Converter(replace(options, **chosen)), []

        def synthesize(segment, report):
            segments.append(segment)
            return np.zeros(segment.n_frames * HOP, np.float32)

        monkeypatch.setattr(converter, "encoder", encoder)
        monkeypatch.setattr(converter, "synthesize", synthesize)
        converter.convert(song, tmp_path / "result.wav", "anna")
        return segments

    return call


def in_modes(options: ConvertOptions, folder: Path, voice: str, diffusion: str) -> dict[str, str]:
    """Copies of the models' configurations with these values of unit_interpolate_mode."""
    changes = {}
    for option, mode in (("config_path", voice), ("diffusion_config_path", diffusion)):
        path = Path(getattr(options, option))
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        values.setdefault("data", {})["unit_interpolate_mode"] = mode
        changes[option] = str(folder / path.name)
        Path(changes[option]).write_text(json.dumps(values), encoding="utf-8")  # YAML, too
    return changes


def error(units: np.ndarray, segment: Segment) -> float:
    """Largest difference, s, of units (D, N) that tell their time from that of the frames."""
    frames = (segment.first + np.arange(segment.n_frames) + 0.5) * HOP / RATE
    # resampling rings at the ends of the ramp, and of what the encoder gets
    inside = (frames > 0.05) & (frames < 19.95) & (np.abs(np.arange(len(frames)) - len(frames) // 2) < 80)
    return float(np.abs(units[0] - frames)[inside].max())


@pytest.mark.parametrize(("context", "wanted"), [(10.0, 10.0), (1.0, 2.0), (60.0, 20.0)])
def test_an_encoder_gets_the_context_it_asks_for(convert_ramp, context, wanted):
    encoder = TimeAsUnits(context)
    segments = convert_ramp(encoder)
    assert len(segments) == len(encoder.lengths) == 10
    # slices reach 0.2 s and a frame beyond their ends
    assert all(wanted - 0.02 < length < wanted + 0.45 for length in encoder.lengths)
    # a frame takes a unit of the same time: half a unit of 20 ms, half a frame of 12 ms, and half
    # a unit that the encoder has more or less than the slice lasts
    assert all(error(segment.units, segment) < 0.026 for segment in segments)


@pytest.mark.parametrize("centre", [0, 160, 200])
@pytest.mark.parametrize("modes", [("time", "nearest"), ("nearest", "time"), ("time", "time")])
def test_units_of_a_slice_are_those_of_its_time_for_each_model(
    convert_ramp, options, tmp_path, centre, modes
):
    """At most half a unit, 10 ms, from each frame, wherever slices begin."""
    changes = in_modes(options, tmp_path, *modes)
    segments = convert_ramp(TimeAsUnits(0.0, centre), clip=2.3, shallow_diffusion=True, **changes)
    assert len(segments) > 8
    for index, mode in enumerate(modes):
        units = [(segment.units, segment.diffusion_units)[index] for segment in segments]
        if index and modes[0] == modes[1]:
            assert units == [None] * len(segments)  # the same
            continue
        worst = max(map(error, units, segments))
        assert worst < 0.0102 if mode == "time" else worst > 0.014


@pytest.mark.parametrize("modes", [("time", "nearest"), ("nearest", "time")])
def test_the_diffusion_model_gets_its_own_units_also_encoded_again(options, tmp_path, monkeypatch, modes):
    chosen = replace(options, shallow_diffusion=True, **in_modes(options, tmp_path, *modes))
    track, units = np.full(40, 300, np.float32), np.zeros((12, 40), np.float32)
    segment = Segment(0, units, track, track / 300, track / 3000, 0, diffusion_units=units + 1)
    given = []
    for again in (False, True):
        converter = Converter(replace(chosen, second_encoding=again))
        monkeypatch.setattr(converter, "encoder", TimeAsUnits(0.0, 200))
        monkeypatch.setattr(converter, "encode", lambda audio: np.arange(23.0)[None])
        monkeypatch.setattr(
            converter.refiner, "refine", lambda segment, units, f0, mel, report: given.append(units) or mel
        )
        converter.mel(segment, lambda share: None)
    data = converter.refiner.config.data
    assert data.unit_interpolate_mode == modes[1]
    encoded = align_units(np.arange(23.0)[None], 40, data, UnitClock(200))
    assert torch.equal(given[0], torch.ones(12, 40)) and torch.equal(given[1], torch.from_numpy(encoded))


def test_windows_are_as_long_as_asked_for_and_centred_where_the_song_allows():
    for first in range(-3, 12):
        for n_frames in range(1, 16):
            for wanted in range(20):
                start, length = expand_window(first, n_frames, wanted, 10)
                end, last = start + length, first + n_frames
                assert start <= first and last <= end
                assert length == max(n_frames, min(wanted, max(last, 10) - min(first, 0)))
                if min(first, 0) < start and end < max(last, 10):
                    assert 0 <= (end - last) - (first - start) <= 1
    # slices are rendered a little beyond the song
    assert expand_window(-5, 20, 60, 100) == (-5, 60) and expand_window(90, 15, 60, 100) == (45, 60)
