"""Converting with a tiny random model: exact lengths, exact silence, reproducible results."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from inference.converter import Converter
from inference.noise import DIFFUSION, frame_noise
from modules.common.errors import CheckpointError, ConfigError
from modules.dsp.audio import resampled_length
from modules.dsp.slicer import LONGEST
from modules.nn.frames import ChannelNorm
from tests.inference.tiny import HOP, RATE, convert, read, write_song, write_vocoder, write_voice
from tests.support.golden_cases import voice


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Converter:
    return Converter(write_voice(tmp_path_factory.mktemp("model")))


@pytest.fixture
def converter(loaded):
    options = loaded.options
    yield loaded
    loaded.options = options


def configure(converter: Converter, **changes) -> None:
    converter.options = replace(converter.options, **changes)


@pytest.fixture
def song(tmp_path):
    return write_song(tmp_path / "song.wav", voice(2, RATE))


@pytest.fixture
def run(converter, tmp_path):
    """Convert a file, or samples, and return the result's samples."""

    def call(source, speaker="anna", key=0.0, **settings) -> np.ndarray:
        if isinstance(source, np.ndarray):
            source = write_song(tmp_path / "x.wav", source, **settings)
        return read(converter.convert(source, tmp_path / "結果" / "y.wav", speaker, key).path)

    return call


def test_a_predicted_pitch_does_not_depend_on_the_key_and_an_untrained_decoder_is_named(
    converter, run, song, caplog
):
    configure(converter, auto_predict_f0=True)
    np.testing.assert_array_equal(run(song, key=7.0), run(song))
    Converter(converter.options)
    assert "G_8.pth was never trained, as in all published models" in caplog.text
    decoder = converter.model.f0_decoder
    assert not decoder.is_trained
    norm = next(module for module in decoder.modules() if isinstance(module, ChannelNorm))
    with torch.no_grad():
        norm.beta.add_(1e-3)
    assert decoder.is_trained
    with torch.no_grad():
        norm.beta.zero_()


@pytest.mark.parametrize(("rate", "extra"), [(22050, 333), (44100, 0), (48000, 1), (96000, 333)])
def test_length_is_exact_at_any_rate_and_silence_stays_silent(converter, tmp_path, rate, extra):
    for audio in (voice(0.6, rate)[: rate // 2 + extra], np.zeros(rate // 2 + extra)):
        result = converter.convert(write_song(tmp_path / "x.flac", audio, rate), tmp_path / "y.wav", "anna")
        assert soundfile.info(result.path).frames == resampled_length(len(audio), rate, RATE)
        assert soundfile.info(result.path).samplerate == RATE
        assert result.seconds == pytest.approx(len(audio) / rate, abs=1 / RATE)
        assert (np.abs(read(result.path)).max() > 1e-3) == audio.any()


@pytest.mark.parametrize("changes", [{}, {"clip": 0.7, "linear_gradient": 0.2, "pad_seconds": 0.0}], ids=str)
def test_silence_that_stays_with_the_singing_is_silent_too(converter, run, tmp_path, monkeypatch, changes):
    """Of a rest of 6 s, 5 s are rendered with the singing beside them; the model hums there."""
    synthesize = converter.synthesize
    monkeypatch.setattr(converter, "synthesize", lambda *given: 1e-3 * synthesize(*given))  # no clipping
    phrase = voice(1.4, RATE) + np.float32(0.01)  # the voice itself rests now and then
    rest = slice(len(phrase), len(phrase) + 6 * RATE)
    audio = np.concatenate([phrase, np.zeros(6 * RATE, np.float32), phrase])
    configure(converter, **changes)
    result = converter.convert(write_song(tmp_path / "x.wav", audio), tmp_path / "y.wav", "anna")
    out = read(result.path)
    assert len(out) == len(audio) and not result.uv[130:630].any()
    monkeypatch.setattr("inference.silence_gate.silence_gate", lambda audio, rate: np.ones_like(audio))
    without = run(audio)
    fade = round(0.01 * RATE)
    assert not out[rest.start + fade : rest.stop - fade].any()
    assert without[rest.start + fade : rest.stop - fade].any()
    np.testing.assert_array_equal(out[: rest.start], without[: rest.start])
    np.testing.assert_array_equal(out[rest.stop :], without[rest.stop :])
    for edge in (slice(rest.start, rest.start + fade), slice(rest.stop - fade, rest.stop)):
        assert np.abs(out[edge]).max() <= np.abs(without[edge]).max()
        assert np.abs(np.diff(out[edge])).max() <= 1.1 * np.abs(np.diff(without[edge])).max() + 2e-4


def test_the_same_song_gives_the_same_samples_for_a_speaker_by_name_or_by_id(run, song, tmp_path):
    torch.manual_seed(1)
    first = run(song)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    np.testing.assert_array_equal(run(song), first)
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is not touched
    by_name = run(song, "花子")
    np.testing.assert_array_equal(run(song, 1), by_name)
    assert not np.array_equal(run(song, 0), by_name)
    (tmp_path / "結果" / "y.wav").unlink()
    for wrong in ("bob", 2, -1):
        with pytest.raises(ConfigError, match=r"no speaker .*anna \(0\), 花子 \(1\)"):
            run(song, wrong)
    assert not list((tmp_path / "結果").iterdir())


def test_every_way_of_converting_keeps_the_length(converter, run, song):
    plain = converter.options
    for changes in (
        {"clip": 0.5, "linear_gradient": 0.2},
        {"clip": 0.3, "linear_gradient": 0.3, "linear_gradient_retain": 1.0},
        {"clip": 45.0, "pad_seconds": 0.0123},
        {"f0_predictor": "dio", "slice_db": -120.0},
        {"auto_predict_f0": True, "noise_scale": 0.0},
    ):
        converter.options = replace(plain, **changes)
        out = run(song)
        assert len(out) == 2 * RATE and np.abs(out).max() > 1e-3, changes


@pytest.mark.parametrize(
    ("key", "notes"), [(-12, (1175, 1319, 1568)), (0, (1175, 1319, 1568)), (12, (41.2, 49.0))]
)
@pytest.mark.parametrize("tracker", ["pm", "dio"])
def test_high_notes_and_those_that_the_key_brings_into_range_are_tracked(
    converter, tmp_path, caplog, key, notes, tracker
):
    configure(converter, f0_predictor=tracker)
    n = 24 * HOP
    f0 = np.repeat(notes, n)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    audio = sum(0.2 / k * np.sin(k * phase) for k in range(1, 12))
    found = converter.convert(write_song(tmp_path / "x.wav", audio), tmp_path / "y.wav", "anna", key)
    for number, note in enumerate(notes):
        held = slice(24 * number + 6, 24 * number + 18)
        assert found.uv[held].all()
        np.testing.assert_allclose(found.f0[held], note, rtol=0.01)
    assert ("lie above 1100 Hz in this key (-t 0), as far as 15" in caplog.text) == (key == 0)
    caplog.clear()
    converter.convert(write_song(tmp_path / "x.wav", audio), tmp_path / "y.wav", "anna", -key)
    assert ("Hz in this key (-t" in caplog.text) == (key <= 0)


@pytest.mark.parametrize("pad", [0.0, 0.5])
def test_short_songs_sample_formats_and_stereo(converter, run, pad):
    configure(converter, slice_db=-120.0, pad_seconds=pad)
    for n in (1, 2, 511, 513, 2205):
        assert len(run(voice(1, RATE)[1000 : 1000 + n], subtype="FLOAT")) == n
    for subtype in ("PCM_U8", "PCM_24", "FLOAT", "DOUBLE"):
        stereo = np.stack([voice(0.05, RATE)] * 2, 1)
        assert len(run(stereo, subtype=subtype)) == len(stereo)


class PitchAsSound:
    """A vocoder whose samples are the pitch that it is given, 1 for 1000 Hz."""

    def synthesize(self, mel, f0, uv, start):
        return (f0 * uv / 1000).repeat_interleave(HOP)

    def cycles(self, f0, uv):
        return np.zeros(len(f0) + 1)


@pytest.mark.parametrize(("clip", "key"), [(0.0, 0.0), (0.7, 12.0), (0.0, -5.0)])
def test_pitch_is_shifted_and_stays_at_its_place(converter, tmp_path, monkeypatch, clip, key):
    monkeypatch.setattr(converter, "vocoder", PitchAsSound())
    t = np.arange(3 * RATE) / RATE
    steps = np.where(t < 1, 200.0, np.where(t < 2, 300.0, 250.0))
    phase = 2 * np.pi * np.cumsum(steps) / RATE
    audio = sum(np.sin(k * phase) / k for k in range(1, 9)) * 0.2
    configure(converter, clip=clip, linear_gradient=clip / 7)
    result = converter.convert(write_song(tmp_path / "x.wav", audio), tmp_path / "y.wav", 1, key)
    out = read(result.path) * 1000
    for second, hz in [(0, 200), (1, 300), (2, 250)]:
        inner = slice(int((second + 0.1) * RATE), int((second + 0.9) * RATE))
        np.testing.assert_allclose(out[inner], hz * 2 ** (key / 12), rtol=0.01)
        np.testing.assert_allclose(result.f0[inner.start // HOP : inner.stop // HOP], hz, rtol=0.01)
    changes = np.flatnonzero(np.abs(np.diff(out)) > 20 * 2 ** (key / 12))
    assert all(min(abs(i / RATE - 1), abs(i / RATE - 2)) < 0.06 or i < 0.06 * RATE for i in changes)


def test_noise_belongs_to_the_frame():
    noise = frame_noise(-100, 400, 3)
    assert noise.shape == (3, 400)
    for first, n in [(-100, 1), (-37, 200), (0, 64), (63, 2), (299, 1)]:
        np.testing.assert_array_equal(frame_noise(first, n, 3), noise[:, first + 100 : first + 100 + n])
    assert not np.any(noise == frame_noise(-100, 400, 3, DIFFUSION))
    assert abs(float(frame_noise(0, 5000, 3).std()) - 1) < 0.02


def test_progress_advice_and_a_result_that_says_that_it_is_a_conversion(converter, tmp_path, song):
    calls = []
    phrase = voice(5.5, RATE, 130.0)
    path = write_song(tmp_path / "x.wav", np.concatenate([0.5 * phrase, np.zeros(RATE), phrase]))
    result = converter.convert(path, tmp_path / "y.wav", "anna", 0, lambda *seconds: calls.append(seconds))
    assert len(calls) >= 2 and calls == sorted(calls) and calls[-1] == (12.0, 12.0)
    assert result.real_time_factor > 0
    assert result.advice is not None and result.advice.semitones == 12
    assert converter.convert(path, tmp_path / "y.wav", "anna", 12).advice is None
    assert converter.convert(path, tmp_path / "y.wav", "花子").advice is None  # its range is not known
    for auto, key in ((False, "+3"), (True, "auto")):
        configure(converter, auto_predict_f0=auto, wav_format="flac")
        result = converter.convert(song, tmp_path / "y.flac", "anna", 3)
        with soundfile.SoundFile(result.path) as file:
            assert file.comment == f"Voice conversion by Glow-SVC; model G_8.pth, speaker anna, key {key}"


def test_the_enhancer_keeps_the_length_and_models_with_volume_follow_it(tmp_path, song, loaded, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    write_vocoder(tmp_path / "pretrain")
    plain, enhanced, higher = (
        convert(loaded.options, song, **changes)
        for changes in ({}, {"enhance": True}, {"enhance": True, "enhancer_adaptive_key": 6.0})
    )
    assert {len(audio) for audio in (plain, enhanced, higher)} == {2 * RATE}
    assert np.abs(enhanced - plain).max() > 1e-3 and np.abs(higher - enhanced).max() > 1e-3
    options = write_voice(tmp_path / "vol", vol_embedding=True)
    loud = convert(options, song)
    write_song(song, 0.25 * voice(2, RATE))
    assert not np.array_equal(convert(options, song), loud)


@pytest.mark.parametrize("changes", [{"vocoder_name": "nsf-hifigan"}, {"vocoder_name": "world"}], ids=str)
def test_the_sines_of_published_vocoders_go_on_through_consonants(tmp_path, song, monkeypatch, changes):
    """As in their training and in the published inference; -mu mutes them. `world` has a gate of its own."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    write_vocoder(tmp_path / "pretrain")
    converter = Converter(replace(write_voice(tmp_path / "model", **changes), enhance=True))
    pitch: list[np.ndarray] = []
    converter.enhancer.vocoder.network.m_source.register_forward_pre_hook(
        lambda module, args: pitch.append(args[0][0].numpy())
    )
    result = converter.convert(song, tmp_path / "y.wav", "anna")
    assert 0.1 < result.uv.mean() < 0.9
    assert len(pitch) == (2 if changes["vocoder_name"] == "nsf-hifigan" else 1)  # itself, and as enhancer
    for f0 in pitch:
        assert (f0 > 50).all()
    full = pitch.copy()
    configure(converter, mute_unvoiced=True)
    converter.convert(song, tmp_path / "y.wav", "anna")
    for open_source, muted in zip(full, pitch[len(full) :], strict=True):
        voiced = muted > 0
        assert 0.1 < voiced.mean() < 0.9
        np.testing.assert_allclose(muted[voiced], open_source[voiced], rtol=1e-6)
    audio = {}
    for mute in (False, True):
        configure(converter, mute_unvoiced=mute)
        converter.enhancer = None
        audio[mute] = read(converter.convert(song, tmp_path / "y.wav", "anna").path)
    assert np.array_equal(audio[False], audio[True]) == (changes["vocoder_name"] == "world")


def test_a_broken_model_is_named(converter, run, song, monkeypatch):
    infer = converter.model.infer
    monkeypatch.setattr(converter.model, "infer", lambda *a, **kw: (infer(*a, **kw)[0] * np.nan, None))
    with pytest.raises(CheckpointError, match=r"G_8\.pth gives NaN"):
        run(song)


def test_what_is_rendered_at_once_does_not_grow_with_the_song(converter, tmp_path, monkeypatch):
    """A tone without a rest, two minutes long: no silence to cut at."""
    lengths = []

    def synthesize(segment, report):
        lengths.append(segment.n_frames)
        return np.zeros(segment.n_frames * HOP, np.float32)

    monkeypatch.setattr(converter, "synthesize", synthesize)
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(120 * 8000) / 8000)
    result = converter.convert(write_song(tmp_path / "long.wav", tone, 8000), tmp_path / "y.wav", "anna")
    assert result.seconds == pytest.approx(120, abs=0.001)
    assert len(lengths) >= 4 and max(lengths) * HOP <= (LONGEST + 1.1) * RATE


@pytest.mark.parametrize("vocoder", ["world", "nsf-hifigan"])
def test_half_precision_changes_little(tmp_path, song, monkeypatch, vocoder):
    """The parts with much work run in bf16; phases and likelihoods stay in float32."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    write_vocoder(tmp_path / "pretrain")
    options = write_voice(tmp_path / "model", vocoder_name=vocoder)
    full, half = (convert(options, song, precision=name) for name in ("fp32", "bf16"))
    assert 0 < np.abs(full - half).max() and np.std(full - half) < 0.1 * np.std(full)
