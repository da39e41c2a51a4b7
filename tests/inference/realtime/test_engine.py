"""A stream through the engine: on time, without seams, and what may change while it runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.converter import Converter
from inference.realtime.engine import RealtimeEngine
from inference.realtime.settings import RealtimeSettings
from modules.common.errors import ConfigError
from modules.f0_predictor import F0_PREDICTORS
from tests.inference.realtime.sounds import RATE, brightness, legato, levels, steps, stream, tone
from tests.inference.tiny import read, write_song, write_vocoder, write_voice
from vdecoder.clock import SourceStart


def test_blocks_are_as_long_as_they_came(build):
    engine = build()
    out = stream(engine, tone(0.5))
    assert len(out) == 0.5 * RATE // engine.block * engine.block
    assert engine.latency == (engine.block + engine.delay) / RATE < 0.08
    assert build(block=35).latency < 0.06


@pytest.mark.parametrize("look_ahead", [0, 35, 100])
def test_a_sound_comes_out_after_the_delay(build, converter, monkeypatch, look_ahead):
    def loudness(segment, report):  # of the source, in place of a voice
        return np.repeat(segment.volume[segment.lead :], 512)

    monkeypatch.setattr(converter, "synthesize", loudness)
    engine = build(look_ahead=look_ahead)
    onset = 20 * engine.block
    audio = np.concatenate([np.zeros(onset, np.float32), tone(0.5)])
    out = stream(engine, audio)
    first = int(np.flatnonzero(out > 0.5 * out.max())[0])
    assert abs(first - onset - engine.delay) <= 1024  # samples, the window that loudness is measured in


@pytest.mark.parametrize("sound", [tone, legato])
@pytest.mark.parametrize("look_ahead", [0, 35])
def test_blocks_join_as_a_song_converted_at_once(build, converter, tmp_path, sound, look_ahead):
    engine = build(look_ahead=look_ahead)
    audio = sound(3.0)
    song = write_song(tmp_path / "song.wav", audio)
    whole = read(converter.convert(song, tmp_path / "whole.wav", "anna").path)
    out = stream(engine, audio)[engine.delay :]
    n = len(out) // engine.block
    borders = np.arange(n // 2, n - 4) * engine.block - engine.delay % engine.block
    middles = borders + engine.block // 2
    extra = np.abs(steps(out, borders) - steps(whole, borders))
    assert np.percentile(extra, 95) < 1.0  # dB
    assert brightness(out, borders) < 2 * brightness(out, middles)  # a click is a hundred times as bright


@pytest.mark.parametrize("follows", [True, False])
def test_an_nsf_vocoder_renders_a_join_twice_alike(tmp_path, monkeypatch, follows):
    """Its source goes on in phase, so there is no seam to search for; without that there would be."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    path = write_vocoder(tmp_path / "pretrain")
    state = torch.load(path)
    for name in ("noise_convs.0.weight", "noise_convs.1.weight"):
        state["generator"][name] *= 100  # its source is what is heard
    torch.save(state, path)
    voice = Converter(replace(write_voice(tmp_path, vocoder_name="nsf-hifigan"), noise_scale=0.0))
    if not follows:
        monkeypatch.setattr(voice._clock, "start", lambda first, join, cycles: SourceStart(first + 1000))
    engine = RealtimeEngine(voice, RealtimeSettings(), "anna")
    tails: list[np.ndarray] = []
    alike: list[float] = []
    real = voice.synthesize

    def synthesize(segment, report):
        made = real(segment, report)
        here = made[((segment.join or 0) - segment.first - segment.lead) * 512 :]
        if tails and segment.join:
            alike.append(np.corrcoef(tails[-1][:512], here[:512])[0, 1])
        tails.append(here[engine.block :])
        return made

    monkeypatch.setattr(voice, "synthesize", synthesize)
    stream(engine, tone(1.2))
    assert (min(alike[10:]) > 0.999) == follows


def test_a_stream_sounds_like_the_song(build, converter, tmp_path):
    engine, audio = build(context=2000), legato(4.0)
    song = write_song(tmp_path / "song.wav", audio)
    whole = levels(read(converter.convert(song, tmp_path / "whole.wav", "anna").path))
    out = levels(stream(engine, audio)[engine.delay :])
    half = slice(len(out) // 2, -10)
    difference = out[half] - whole[: len(out)][half]
    assert np.ptp(np.percentile(difference, [10, 90])) < 4  # dB; a result is normalized, a stream is not


def test_key_and_speaker_change_while_it_runs(build):
    engine, keys = build(), {30: 12.0, 60: -5.0}

    def change(block):
        engine.key = keys.get(block, engine.key)
        if block == 75:
            engine.speaker = "花子"

    out = stream(engine, tone(4.5), change)
    tracker = F0_PREDICTORS.build("pm", sampling_rate=RATE, hop_length=512)
    f0, uv = tracker.predict(out)
    for block, hertz in ((20, 200), (50, 400), (72, 150), (90, 150)):
        found = f0[block * engine.block_frames - 3 : block * engine.block_frames + 3]
        assert np.abs(12 * np.log2(found / hertz)).max() < 0.5  # semitones
    assert engine.speaker == "花子"
    with pytest.raises(ConfigError, match="nobody"):
        engine.speaker = "nobody"
    assert engine.speaker == "花子"


def test_a_curve_is_sung_in_place_of_what_is_heard(build):
    engine, frames = build(key=12.0), round(2.0 * RATE / 512)
    engine.curve = np.full(frames, 330.0, np.float32)  # of a tone of 200 Hz
    engine.curve[frames // 2 :] = np.nan
    engine.curve[:20] = 0.0
    f0, uv = F0_PREDICTORS.build("pm", sampling_rate=RATE).predict(stream(engine, tone(2.5))[engine.delay :])
    for where, hertz in ((slice(30, frames // 2 - 5), 660), (slice(frames // 2 + 5, frames + 20), 400)):
        assert np.median(f0[where]) == pytest.approx(hertz, rel=0.01)
    assert uv[:15].mean() < 0.3 and uv[30:frames].mean() > 0.9


def test_silence_stays_silent_and_fades(build):
    engine = build()
    audio = np.concatenate([tone(1.0), np.zeros(RATE, np.float32), tone(0.5)])
    out = stream(engine, audio)
    rest = slice(round(1.2 * RATE), round(1.8 * RATE))
    assert not out[rest].any()
    assert np.abs(out[: RATE // 2]).max() > 0.01
    assert np.abs(np.diff(out)).max() < 2 * np.abs(np.diff(out[: RATE // 2])).max()  # no click where it ends


def test_a_skipped_block_is_context(build):
    engine, whole = build(), build()
    audio = tone(2.0)
    for number, start in enumerate(range(0, len(audio) - engine.block, engine.block)):
        block = audio[start : start + engine.block]
        one = whole.process(block)
        if 20 <= number < 25:
            engine.hear(block)
        else:
            other = engine.process(block)
    assert abs(levels(one)[0] - levels(other)[0]) < 1


def test_a_primed_engine_goes_on_where_another_was(build):
    audio, first, second = tone(2.0), build(), build()
    half = 28 * first.block
    before = stream(first, audio[:half])
    second.prime(audio[:half])
    second.follow(first)
    out = np.concatenate([before, stream(second, audio[half:])])
    borders = np.array([half])
    assert np.abs(steps(out, borders)).max() < 1.5
    assert brightness(out, borders) < 4 * brightness(out, borders - first.block // 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_spk_mix": True}, "a stream has none"),
        ({"loudness_envelope_adjustment": 0.5}, "has not heard yet"),
    ],
)
def test_what_a_stream_cannot_have_is_refused(steady, converter, change, message):
    converter.options = replace(steady, **change)
    try:
        with pytest.raises(ConfigError, match=message):
            RealtimeEngine(converter, RealtimeSettings(), "anna")
    finally:
        converter.options = steady


@pytest.mark.parametrize("setting", ["block", "look_ahead", "crossfade", "context", "unit_context"])
def test_settings_out_of_range_name_their_flag(setting):
    with pytest.raises(ConfigError, match=f"--{setting} must be"):
        RealtimeSettings(**{setting: float("nan")})


def test_shallow_diffusion_refines_a_stream(options):
    converter = Converter(replace(options, shallow_diffusion=True, k_step=20))
    engine = RealtimeEngine(converter, RealtimeSettings(context=200), "anna")
    out = stream(engine, tone(0.3))
    assert np.isfinite(out).all() and out.any()
