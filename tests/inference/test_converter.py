"""Converting with a tiny random model: exact lengths, exact silence, the same result every time."""

import dataclasses

import numpy as np
import pytest
import soundfile
import torch

from inference.converter import Converter
from inference.noise import DIFFUSION, frame_noise
from inference.options import ConvertOptions
from inference.pipeline import TargetVoice
from inference.source import SourceAudio
from modules.common.errors import AudioError, CheckpointError, ConfigError, MissingWeightsError
from modules.dsp.audio import resampled_length
from modules.dsp.slicer import LONGEST
from tests.inference.tiny import HOP, RATE, write_model, write_vocoder
from tests.support.golden_cases import voice


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Converter:
    model, config = write_model(tmp_path_factory.mktemp("model"))
    return Converter(
        ConvertOptions(model_path=str(model), config_path=str(config), device="cpu", wav_format="wav")
    )


@pytest.fixture
def converter(loaded):
    options = loaded.options
    yield loaded
    loaded.options = options


def configure(converter: Converter, **changes) -> None:
    converter.options = dataclasses.replace(converter.options, **changes)


def read(path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def write(path, audio, rate=RATE, **settings):
    soundfile.write(path, audio, rate, **settings)
    return path


@pytest.fixture
def song(tmp_path):
    return write(tmp_path / "song.wav", voice(2, RATE))


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("extra", [0, 1, 333])
def test_length_is_exact_at_any_rate(converter, tmp_path, rate, extra):
    audio = voice(0.6, rate)[: rate // 2 + extra]
    result = converter.convert(write(tmp_path / "x.flac", audio, rate), tmp_path / "y.wav", "anna")
    assert soundfile.info(result.path).frames == resampled_length(len(audio), rate, RATE)
    assert soundfile.info(result.path).samplerate == RATE
    assert result.seconds == pytest.approx(len(audio) / rate, abs=1 / RATE)
    assert np.abs(read(result.path)).max() > 1e-3


@pytest.mark.parametrize("rate", [22050, 44100])
def test_silence_stays_digital_silence(converter, tmp_path, rate):
    path = write(tmp_path / "x.wav", np.zeros(rate + 7), rate)
    out = read(converter.convert(path, tmp_path / "y.wav", "anna").path)
    assert len(out) == resampled_length(rate + 7, rate, RATE)
    assert not out.any()


def test_rests_become_digital_silence_and_singing_does_not(converter, tmp_path):
    rest = np.zeros(6 * RATE, np.float32)
    audio = np.concatenate([voice(1, RATE), rest, voice(1, RATE)])
    result = converter.convert(write(tmp_path / "x.wav", audio), tmp_path / "y.wav", "anna")
    out = read(result.path)
    assert len(out) == len(audio)
    assert not out[round(1.2 * RATE) : round(1.9 * RATE)].any()  # 5 s of it stay with the singing
    assert np.abs(out[:RATE]).max() > 1e-3
    assert np.abs(out[-RATE:]).max() > 1e-3
    assert not result.uv[110:600].any()


@pytest.mark.parametrize(
    "changes", [{}, {"clip": 0.7, "linear_gradient": 0.2}, {"pad_seconds": 0.0}], ids=str
)
def test_silence_that_stays_with_the_singing_is_silent_too(converter, tmp_path, monkeypatch, changes):
    """Up to 5 s of a rest are rendered with the singing beside them; the model hums there."""
    monkeypatch.setattr("inference.output._gain", lambda *_: 1e-3)  # random weights roar; here alike
    phrase = voice(1.4, RATE) + np.float32(0.01)  # the voice itself rests now and then
    rest = slice(len(phrase), len(phrase) + 4 * RATE)
    path = write(tmp_path / "x.wav", np.concatenate([phrase, np.zeros(4 * RATE, np.float32), phrase]))
    configure(converter, **changes)
    out = read(converter.convert(path, tmp_path / "1.wav", "anna").path)
    monkeypatch.setattr(
        "inference.pipeline.silence_gate", lambda audio, rate: np.ones(len(audio), np.float32)
    )
    without = read(converter.convert(path, tmp_path / "2.wav", "anna").path)
    fade = round(0.01 * RATE)
    assert not out[rest.start + fade : rest.stop - fade].any()
    assert without[rest.start + fade : rest.stop - fade].any()
    np.testing.assert_array_equal(out[: rest.start], without[: rest.start])
    np.testing.assert_array_equal(out[rest.stop :], without[rest.stop :])
    for edge in (slice(rest.start, rest.start + fade), slice(rest.stop - fade, rest.stop)):
        assert np.abs(out[edge]).max() <= np.abs(without[edge]).max()
        assert np.abs(np.diff(out[edge])).max() <= 1.1 * np.abs(np.diff(without[edge])).max() + 2e-4


def test_the_same_song_gives_the_same_samples(converter, song, tmp_path):
    torch.manual_seed(1)
    first = read(converter.convert(song, tmp_path / "1.wav", "anna").path)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    np.testing.assert_array_equal(read(converter.convert(song, tmp_path / "2.wav", "anna").path), first)
    assert torch.equal(torch.random.get_rng_state(), state)  # and nobody else's random numbers change


@pytest.mark.parametrize(
    "changes",
    [
        {"clip": 0.5},
        {"clip": 0.5, "linear_gradient": 0.2},
        {"clip": 0.3, "linear_gradient": 0.3, "linear_gradient_retain": 1.0},
        {"clip": 45.0},
        {"slice_db": -120.0},
        {"pad_seconds": 0.0},
        {"pad_seconds": 0.0123},
        {"f0_predictor": "dio"},
        {"auto_predict_f0": True},
        {"noise_scale": 0.0},
    ],
    ids=str,
)
def test_every_way_of_converting_keeps_the_length(converter, song, tmp_path, changes):
    configure(converter, **changes)
    out = read(converter.convert(song, tmp_path / "y.wav", "anna").path)
    assert len(out) == 2 * RATE
    assert np.abs(out).max() > 1e-3


@pytest.mark.parametrize("n", [1, 2, 100, 511, 513, 2205])
@pytest.mark.parametrize("pad", [0.0, 0.5])
def test_short_songs(converter, tmp_path, n, pad):
    configure(converter, slice_db=-120.0, pad_seconds=pad)
    path = write(tmp_path / "x.wav", voice(1, RATE)[1000 : 1000 + n], subtype="FLOAT")
    assert len(read(converter.convert(path, tmp_path / "y.wav", "anna").path)) == n


class PitchAsSound:
    """A vocoder that says which pitch each sample was given, 1 for 1000 Hz."""

    def synthesize(self, mel, f0, uv):
        return (f0 * uv / 1000).repeat_interleave(HOP)


@pytest.mark.parametrize("clip", [0.0, 0.7])
@pytest.mark.parametrize("key", [0.0, 12.0, -5.0])
def test_pitch_is_shifted_and_stays_at_its_place(converter, tmp_path, monkeypatch, clip, key):
    monkeypatch.setattr(converter, "vocoder", PitchAsSound())
    t = np.arange(3 * RATE) / RATE
    steps = np.where(t < 1, 200.0, np.where(t < 2, 300.0, 250.0))
    phase = 2 * np.pi * np.cumsum(steps) / RATE
    audio = sum(np.sin(k * phase) / k for k in range(1, 9)) * 0.2
    configure(converter, clip=clip)
    result = converter.convert(write(tmp_path / "x.wav", audio), tmp_path / "y.wav", 1, key)
    out = read(result.path) * 1000
    for second, hz in [(0, 200), (1, 300), (2, 250)]:
        inner = slice(int((second + 0.1) * RATE), int((second + 0.9) * RATE))
        np.testing.assert_allclose(out[inner], hz * 2 ** (key / 12), rtol=0.01)
        np.testing.assert_allclose(result.f0[inner.start // HOP : inner.stop // HOP], hz, rtol=0.01)
    changes = np.flatnonzero(np.abs(np.diff(out)) > 20 * 2 ** (key / 12))
    assert all(min(abs(i / RATE - 1), abs(i / RATE - 2)) < 0.06 or i < 0.06 * RATE for i in changes)


def test_slices_do_not_change_what_is_sung(converter, song, tmp_path, monkeypatch):
    monkeypatch.setattr(converter, "vocoder", PitchAsSound())
    whole = read(converter.convert(song, tmp_path / "1.wav", "anna").path)
    configure(converter, clip=0.9, linear_gradient=0.1)
    cut = read(converter.convert(song, tmp_path / "2.wav", "anna").path)
    assert np.mean(np.abs(cut - whole) < 0.01) > 0.97


class TimeAsUnits:
    """An encoder that hears a song of rising level, and so says which second each unit stands for."""

    sampling_rate, hop_length = 16000, 320

    def __init__(self, context_seconds: float) -> None:
        self.context_seconds = context_seconds
        self.heard: list[float] = []

    def encode(self, audio):
        self.heard.append(len(audio) / 16000)
        centres = audio[160::320]
        return centres.expand(12, -1) * 100


@pytest.mark.parametrize(("context", "heard"), [(0.0, 2.0), (10.0, 10.0), (1.0, 2.0), (60.0, 20.0)])
@pytest.mark.parametrize("begin", [-0.5, 0.0, 9.3, 17.5, 18.4])
def test_an_encoder_hears_the_context_it_asks_for(converter, tmp_path, monkeypatch, context, heard, begin):
    ramp = np.arange(20 * RATE, dtype=np.float32) / RATE / 100
    encoder = TimeAsUnits(context)
    monkeypatch.setattr(converter, "encoder", encoder)
    first, n_frames = round(begin * RATE / HOP), round(2 * RATE / HOP)
    with SourceAudio(write(tmp_path / "ramp.wav", ramp, subtype="FLOAT"), RATE, tmp_path) as source:
        units = converter._units(source, first, n_frames, TargetVoice("anna"))
    assert units.shape == (12, n_frames)
    assert encoder.heard == [
        pytest.approx(heard, abs=0.52)
    ]  # a slice may reach half a second beyond the song
    seconds = (first + np.arange(n_frames) + 0.5) * HOP / RATE
    inside = (seconds > 0.05) & (seconds < 19.95)  # resampling rings at the ends of the ramp
    # a frame takes a unit of the same time: half a unit of 20 ms, and half a frame of 12 ms
    np.testing.assert_allclose(units[0][inside], seconds[inside], atol=0.02)


def test_slices_are_converted_with_the_context(converter, song, tmp_path, monkeypatch):
    monkeypatch.setattr(type(converter.encoder), "context_seconds", 1.5, raising=False)
    lengths = []
    encode = converter.encoder.encode
    monkeypatch.setattr(
        converter.encoder, "encode", lambda audio: lengths.append(len(audio)) or encode(audio)
    )
    configure(converter, clip=0.4, pad_seconds=0.1)
    converter.convert(song, tmp_path / "1.wav", "anna")
    assert len(lengths) == 5
    assert min(lengths) >= 1.49 * 16000


def test_noise_belongs_to_the_frame():
    noise = frame_noise(-100, 400, 3)
    assert noise.shape == (3, 400)
    for first, n in [(-100, 1), (-37, 200), (0, 64), (63, 2), (299, 1)]:
        np.testing.assert_array_equal(frame_noise(first, n, 3), noise[:, first + 100 : first + 100 + n])
    assert not np.any(noise == frame_noise(-100, 400, 3, DIFFUSION))
    assert abs(float(frame_noise(0, 5000, 3).std()) - 1) < 0.02


def test_speaker_by_name_and_by_id(converter, song, tmp_path):
    by_name = read(converter.convert(song, tmp_path / "1.wav", "花子").path)
    np.testing.assert_array_equal(read(converter.convert(song, tmp_path / "2.wav", 1).path), by_name)
    assert not np.array_equal(read(converter.convert(song, tmp_path / "3.wav", 0).path), by_name)
    for wrong in ("bob", 2, -1):
        with pytest.raises(ConfigError, match=r"no speaker .*anna \(0\), 花子 \(1\)"):
            converter.convert(song, tmp_path / "4.wav", wrong)
    assert not (tmp_path / "4.wav").exists()


@pytest.mark.parametrize(("auto", "key"), [(False, "+3"), (True, "auto")])
def test_result_says_that_it_is_a_conversion(converter, song, tmp_path, auto, key):
    configure(converter, auto_predict_f0=auto, wav_format="flac")
    result = converter.convert(song, tmp_path / "y.flac", "anna", 3)
    with soundfile.SoundFile(result.path) as file:
        assert file.comment == f"Voice conversion by Glow-SVC; model G_8.pth, speaker anna, key {key}"


def test_progress_and_advice(converter, tmp_path):
    calls = []
    audio = np.concatenate(
        [0.5 * voice(5.5, RATE, 130.0), np.zeros(RATE, np.float32), voice(5.5, RATE, 130.0)]
    )
    path = write(tmp_path / "x.wav", audio)
    result = converter.convert(path, tmp_path / "y.wav", "anna", 0, lambda *seconds: calls.append(seconds))
    assert len(calls) >= 2
    assert calls == sorted(calls)
    assert calls[-1] == (12.0, 12.0)
    assert result.real_time_factor > 0
    assert result.advice is not None and result.advice.semitones == 12
    assert converter.convert(path, tmp_path / "y.wav", "anna", 12).advice is None
    assert converter.convert(path, tmp_path / "y.wav", "花子").advice is None  # its range is not known


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "DOUBLE"])
def test_sample_formats_and_stereo(converter, tmp_path, subtype):
    audio = np.stack([voice(0.05, RATE), voice(0.05, RATE)], 1)
    path = write(tmp_path / f"歌 {subtype}.wav", audio, subtype=subtype)
    assert len(read(converter.convert(path, tmp_path / "結果" / "y.wav", "anna").path)) == len(audio)


def test_unusable_songs_leave_nothing(converter, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "text.wav").write_text("words")
    (tmp_path / "empty.wav").touch()
    write(tmp_path / "nan.wav", np.full(RATE, np.nan), subtype="FLOAT")
    for name in ("text", "empty", "nan", "missing"):
        with pytest.raises(AudioError, match=rf"{name}\.wav"):
            converter.convert(tmp_path / f"{name}.wav", out / "y.wav", "anna")
    assert not list(out.iterdir())


def test_interruption_keeps_the_old_result(converter, song, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "y.wav").write_text("old")

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converter.convert(song, out / "y.wav", "anna", 0, interrupt)
    assert [path.name for path in out.iterdir()] == ["y.wav"]
    assert (out / "y.wav").read_text() == "old"


def test_models_with_volume_hear_it(tmp_path, song):
    model, config = write_model(tmp_path / "vol", vol_embedding=True)
    options = ConvertOptions(model_path=str(model), config_path=str(config), device="cpu", wav_format="wav")
    converter = Converter(options)
    loud = read(converter.convert(song, tmp_path / "1.wav", "anna").path)
    write(song, 0.25 * voice(2, RATE))
    assert not np.array_equal(read(converter.convert(song, tmp_path / "2.wav", "anna").path), loud)


def test_options_that_the_model_cannot_fulfil(tmp_path):
    model, config = write_model(tmp_path, use_automatic_f0_prediction=False)
    options = ConvertOptions(model_path=str(model), config_path=str(config), device="cpu")
    with pytest.raises(ConfigError, match="-a: this model was trained without"):
        Converter(dataclasses.replace(options, auto_predict_f0=True))
    with pytest.raises(ConfigError, match="-wf"):
        Converter(dataclasses.replace(options, wav_format="m4a"))
    with pytest.raises(CheckpointError, match="does not exist"):
        Converter(dataclasses.replace(options, model_path="G_0.pth"))
    model, config = write_model(tmp_path, ssl_dim=13)
    with pytest.raises(ConfigError, match="units of 13 channels, but encoder 'mfcc' gives 12"):
        Converter(options)


def test_a_broken_model_is_named(converter, song, tmp_path, monkeypatch):
    def infer(*args, **kwargs):
        mel, f0 = type(converter.model).infer(converter.model, *args, **kwargs)
        return mel * float("nan"), f0

    monkeypatch.setattr(converter.model, "infer", infer)
    with pytest.raises(CheckpointError, match=r"G_8\.pth gives NaN"):
        converter.convert(song, tmp_path / "y.wav", "anna")


def options_of(folder, vocoder="world", **changes) -> ConvertOptions:
    model, config = write_model(folder, vocoder_name=vocoder)
    return ConvertOptions(
        model_path=str(model), config_path=str(config), device="cpu", wav_format="wav", **changes
    )


def test_what_is_rendered_at_once_does_not_grow_with_the_song(converter, tmp_path, monkeypatch):
    """A tone without a rest, two minutes long: no silence to cut at."""
    configure(converter, pad_seconds=0.5)
    lengths = []

    def sing(segment, report):
        lengths.append(segment.n_frames)
        return np.zeros(segment.n_frames * HOP, np.float32)

    monkeypatch.setattr(converter, "synthesize", sing)
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(120 * 8000) / 8000)
    result = converter.convert(write(tmp_path / "long.wav", tone, 8000), tmp_path / "y.wav", "anna")
    assert result.seconds == pytest.approx(120, abs=0.001)
    assert len(lengths) >= 4 and max(lengths) * HOP <= (LONGEST + 1.1) * RATE


def test_the_enhancer_sings_it_once_more_in_the_same_time(tmp_path, song, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    write_vocoder(tmp_path / "pretrain")
    heard = {}
    for name, changes in {
        "plain": {},
        "enhanced": {"enhance": True},
        "higher": {"enhance": True, "enhancer_adaptive_key": 6.0},
    }.items():
        converter = Converter(options_of(tmp_path / name, **changes))
        heard[name] = read(converter.convert(song, tmp_path / f"{name}.wav", "anna").path)
    assert {len(audio) for audio in heard.values()} == {2 * RATE}
    assert np.abs(heard["enhanced"] - heard["plain"]).max() > 1e-3
    assert np.abs(heard["higher"] - heard["enhanced"]).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_retrieval": True}, "-fr has no effect without -cr"),
        ({"linear_gradient": 0.5}, "-lg has no effect without -cl"),
        ({"enhancer_adaptive_key": 2.0}, "-eak has no effect without -eh"),
    ],
)
def test_options_that_need_another_say_so(tmp_path, caplog, changes, message):
    Converter(options_of(tmp_path / "model", **changes))
    assert message in caplog.text


@pytest.mark.parametrize("changes", [{"enhance": True}, {"vocoder": "nsf-hifigan"}])
def test_a_vocoder_that_is_not_there_names_the_command(tmp_path, monkeypatch, changes):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="python -m pretrain nsf-hifigan"):
        Converter(options_of(tmp_path / "model", **changes))


@pytest.mark.parametrize("vocoder", ["world", "nsf-hifigan"])
def test_half_precision_changes_little(tmp_path, song, monkeypatch, vocoder):
    """The parts with much work run in bf16; phases and likelihoods stay in float32."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    write_vocoder(tmp_path / "pretrain")
    full, half = (
        read(
            Converter(options_of(tmp_path / name, vocoder, precision=name))
            .convert(song, tmp_path / f"{name}.wav", "anna")
            .path
        )
        for name in ("fp32", "bf16")
    )
    assert 0 < np.abs(full - half).max() and np.std(full - half) < 0.1 * np.std(full)


@pytest.mark.parametrize(("precision", "able", "warned"), [("bf16", False, True), ("bf16", True, False)])
def test_a_cpu_that_is_bad_at_a_precision_is_told_of(tmp_path, monkeypatch, caplog, precision, able, warned):
    monkeypatch.setattr("inference.converter.cpu_has_bf16", lambda: able)
    Converter(options_of(tmp_path / "model", precision=precision))
    assert ("and is slower" in caplog.text) == warned
