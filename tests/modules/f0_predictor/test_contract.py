"""What holds for every F0 predictor in the table: timing, pitch, voicing and determinism."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from modules import f0_predictor
from modules.common.errors import AudioError, ConfigError, MissingWeightsError
from modules.f0_predictor import F0_PREDICTORS
from modules.pretrained.weights import find_weights
from tests.modules.f0_predictor.published import write_rmvpe

OPTIONS = {"crepe": {"model": "tiny"}}  # the full network takes seconds per second of sound
CENTS = {"pm": 2.0, "dio": 1.0, "harvest": 1.0, "fcpe": 2.0}  # median error
NEURAL_CENTS = 8.0
# Classical trackers and FCPE are correct to a tenth of a millisecond. CREPE itself is up to 3 ms
# early on low voices, at any hop; a third of a hop still reveals every published defect.
DELAY = {"pm": 0.3e-3, "dio": 0.3e-3, "harvest": 0.3e-3, "fcpe": 0.6e-3}
NEURAL_DELAY = 4e-3
# Share of unvoiced frames that are detected as voiced. Most are at the edges of a note, which windows
# overlap. harvest also finds pitch in the noise of rests, 70 dB below: its known limit.
FALSE_ALARMS = {"harvest": 0.35}
NETWORKS = ["crepe", "rmvpe", "fcpe"]
UNTRAINED = [name for name, spec in F0_PREDICTORS.items() if spec.weights and not find_weights(spec.weights)]


@dataclass(frozen=True)
class SungTone:
    """A gliding tone with known pitch and voicing at every sample."""

    audio: np.ndarray
    f0: np.ndarray
    voiced: np.ndarray

    def truth(self, n_frames, hop_length):
        at = np.arange(n_frames) * hop_length
        return self.f0[at], self.voiced[at] > 0


def sing(sampling_rate=44100, base=220.0):
    """3 s of a gliding voice with vibrato, two rests, and a little noise throughout."""
    t = np.arange(3 * sampling_rate) / sampling_rate
    semitones = 5 * np.sin(2 * np.pi * 0.4 * t) + 0.3 * np.sin(2 * np.pi * 5.5 * t)
    f0 = base * 2 ** (semitones / 12)
    phase = 2 * np.pi * np.cumsum(f0) / sampling_rate
    harmonics = min(24, int(0.45 * sampling_rate / f0.max()))
    voice = sum(np.sin(k * phase + k) / k for k in range(1, harmonics + 1))
    voiced = ((t > 0.3) & (t < 1.2)) | ((t > 1.5) & (t < 2.6))
    ramp = np.hanning(sampling_rate // 100)
    envelope = np.convolve(voiced, ramp / ramp.sum(), "same")
    noise = np.random.default_rng(0).standard_normal(len(t))
    return SungTone((0.2 * voice * envelope + 1e-4 * noise).astype(np.float32), f0, voiced)


SONG = sing()


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Build a predictor; if its published weights are missing, with small ones filled by name."""
    path = None

    def build(name, **kwargs):
        nonlocal path
        if name in UNTRAINED:
            path = path or write_rmvpe(tmp_path_factory.mktemp("weights") / "rmvpe.pt")
            kwargs = {"weights": path, **kwargs}
        return F0_PREDICTORS.build(name, **kwargs, **OPTIONS.get(name, {}))

    return build


@pytest.fixture(scope="module", params=F0_PREDICTORS)
def name(request):
    if request.param == "swift-f0":
        pytest.importorskip("swift_f0", reason="swift-f0 is missing: pip install -r requirements-onnx.txt")
    return request.param


@pytest.fixture
def trained(name):
    """Skip tests that need trained weights."""
    if name in UNTRAINED:
        pytest.skip(f"no weights: python -m pretrain {F0_PREDICTORS[name].weights}")


@pytest.fixture(scope="module")
def predictor(name, build):
    return build(name)


@pytest.fixture(scope="module")
def track(predictor):
    """F0 and uv of SONG."""
    return predictor.predict(SONG.audio)


def inner(voiced, margin=4):
    """Voiced frames with ``margin`` voiced frames on either side."""
    return np.convolve(voiced, np.ones(2 * margin + 1), "same") == 2 * margin + 1


def cents(f0, truth):
    return 1200 * np.log2(np.maximum(f0, 1.0) / truth)


def delay(f0, truth, where, period):
    """Delay of ``f0`` in seconds: the shift of the truth with the least error."""
    slope = np.gradient(cents(truth, truth[0])) / period
    error = cents(f0, truth)
    where = where & (np.abs(error) < 100)
    return -(error[where] @ slope[where]) / (slope[where] @ slope[where])


def test_timing_pitch_and_voicing(trained, name, track):
    f0, uv = track
    truth, voiced = SONG.truth(len(f0), 512)
    steady, middle = inner(voiced), len(f0) // 2
    for half in (slice(middle), slice(middle, None)):  # a wrong frame rate grows with time
        where = np.zeros_like(steady)
        where[half] = steady[half]
        assert abs(delay(f0, truth, where, 512 / 44100)) < DELAY.get(name, NEURAL_DELAY)
    error = np.abs(cents(f0, truth))[steady]
    assert np.median(error) < CENTS.get(name, NEURAL_CENTS)
    assert error.max() < 50  # no octave jump, no neighbouring note
    assert uv[steady].all()
    # a tracker's window may extend past an edge, and a network may find pitch in faint noise
    assert np.mean((uv > 0) == voiced) > 0.85
    assert set(uv) == {0.0, 1.0}


@pytest.mark.parametrize("base", [110.0, 440.0], ids=["low", "high"])
def test_accuracy_on_a_clean_voice(trained, name, build, base):
    song = sing(base=base)
    f0, uv = build(name).predict(song.audio)
    truth, voiced = song.truth(len(f0), 512)
    assert np.mean(np.abs(cents(f0, truth))[voiced] < 50) >= 0.98  # raw pitch accuracy
    assert np.mean(uv[voiced]) >= 0.98
    assert np.mean(uv[~voiced]) <= FALSE_ALARMS.get(name, 0.15)


@pytest.mark.parametrize(("sampling_rate", "hop_length", "base"), [(16000, 160, 330.0), (48000, 480, 110.0)])
def test_other_clocks(trained, name, build, sampling_rate, hop_length, base):
    song = sing(sampling_rate, base)
    f0, uv = build(name, sampling_rate=sampling_rate, hop_length=hop_length).predict(song.audio)
    truth, voiced = song.truth(len(f0), hop_length)
    where = inner(voiced) & (uv > 0)
    assert len(f0) == 300 and where.sum() > 0.95 * inner(voiced).sum()
    assert np.median(np.abs(cents(f0, truth))[where]) < CENTS.get(name, NEURAL_CENTS)
    assert abs(delay(f0, truth, where, hop_length / sampling_rate)) < DELAY.get(name, NEURAL_DELAY)


def test_two_separate_float32_arrays(predictor, track):
    f0, uv = track
    assert f0.dtype == uv.dtype == np.float32
    assert f0.shape == uv.shape == (len(SONG.audio) // 512,)
    assert not np.shares_memory(f0, uv)
    for level in (0.0, 0.3):  # silence and direct current
        f0, uv = predictor.predict(np.full(20000, level, np.float32))
        assert f0.shape == uv.shape == (39,)
        assert not f0.any() and not uv.any() and not np.shares_memory(f0, uv)


def test_short_clips_and_a_given_number_of_frames(predictor):
    for n_samples in (0, 1, 2, 17, 100, 441, 511, 900, 2000, 3000):
        for n_frames in (None, 0, 3):
            f0, uv = predictor.predict(SONG.audio[20000 : 20000 + n_samples], n_frames)
            assert f0.shape == uv.shape == (n_samples // 512 if n_frames is None else n_frames,)
            assert np.isfinite(f0).all() and ((f0 > 0).all() == uv.any() or len(f0) == 0)
    audio = SONG.audio[13230:53000]  # voiced to its very end
    f0, _ = predictor.predict(audio)
    for n_frames in (len(f0) - 3, len(f0) - 1, len(f0) + 1, len(f0) + 3):
        other, other_uv = predictor.predict(audio, n_frames)
        assert other.shape == other_uv.shape == (n_frames,)
        same = min(len(f0), n_frames) - 4
        np.testing.assert_allclose(other[:same], f0[:same], rtol=2e-3)


def test_any_layout_the_same_result_and_no_side_effects(predictor):
    audio = SONG.audio[13230:30000]
    before = audio.copy()
    numpy_state, torch_state = np.random.get_state(legacy=False), torch.get_rng_state()
    f0, uv = predictor.predict(audio)
    strided = np.zeros((len(audio), 2), np.float32)
    strided[:, 0] = audio
    for variant in (audio, audio.astype(np.float64), strided[:, 0], audio[::-1].copy()[::-1]):
        again, again_uv = predictor.predict(variant)
        np.testing.assert_array_equal(again, f0)
        np.testing.assert_array_equal(again_uv, uv)
    np.testing.assert_array_equal(audio, before)
    np.testing.assert_equal(np.random.get_state(legacy=False), numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_unusable_audio_and_invalid_settings_are_refused(name, predictor):
    for bad in (np.nan, np.inf, -np.inf):
        audio = SONG.audio[:20000].copy()
        audio[100] = bad
        with pytest.raises(AudioError, match="NaN or Inf"):
            predictor.predict(audio)
    with pytest.raises(AudioError, match="one channel"):
        predictor.predict(np.zeros((2, 20000), np.float32))
    limits = {"f0_min": 500.0, "f0_max": 400.0}
    for wrong in (limits, {"f0_min": 0.0}, {"sampling_rate": 2000}, {"hop_length": 0}):
        with pytest.raises(ConfigError, match="cannot track F0"):
            F0_PREDICTORS.build(name, **wrong)


@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0.0), (1.0, 0.5)], ids=["very quiet", "loud offset"])
def test_level_does_not_matter(trained, name, predictor, track, gain, offset):
    f0, uv = predictor.predict(gain * SONG.audio + offset)
    truth, voiced = SONG.truth(len(f0), 512)
    assert uv[inner(voiced)].all()
    # a log-mel depends on the level, if little
    tolerance = 3e-3 if name in ("rmvpe", "fcpe", "swift-f0") else 1e-4
    np.testing.assert_allclose(f0[inner(voiced)], track[0][inner(voiced)], rtol=tolerance)


@pytest.mark.parametrize("level", [0.3, 1e-3])
def test_noise_has_no_pitch(trained, name, predictor, level):
    noise = level * np.random.default_rng(1).standard_normal(44100).astype(np.float32)
    _, uv = predictor.predict(noise)
    assert uv.mean() < (0.5 if name == "crepe" else 0.2)  # crepe at threshold 0.05: its known limit


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_are_in_eval_mode_and_building_draws_no_random_numbers(network, build):
    state = torch.get_rng_state()
    predictor = build(network)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in predictor.network.modules())
    tensors = [*predictor.network.parameters(), *predictor.network.buffers()]
    assert {(tensor.device.type, tensor.requires_grad) for tensor in tensors} == {("cpu", False)}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("network", NETWORKS)
def test_a_gpu_gives_the_same(network, build):
    if network in UNTRAINED:
        pytest.skip("a network filled by name magnifies rounding errors")
    f0, uv = build(network, device="cuda").predict(SONG.audio)
    other, other_uv = build(network).predict(SONG.audio)
    assert np.mean(uv == other_uv) > 0.98
    assert np.abs(cents(f0, other))[(uv > 0) & (other_uv > 0)].max() < 5  # TF32


@pytest.mark.parametrize(
    "name",
    [name if name == "pm" else pytest.param(name, marks=pytest.mark.slow) for name in F0_PREDICTORS],
)
def test_ten_minutes(name, build):
    if name == "swift-f0":
        pytest.importorskip("swift_f0")
    song, hop_length = sing(8000), 800 if name == "crepe" else 80  # its time goes with the frames
    repeats = 20 if name == "harvest" else 200  # it passes with 200 too, in a quarter of an hour and 2 GB
    f0, uv = build(name, sampling_rate=8000, hop_length=hop_length).predict(np.tile(song.audio, repeats))
    n_frames = 24000 // hop_length
    assert f0.shape == uv.shape == (repeats * n_frames,) and np.isfinite(f0).all()
    if name not in UNTRAINED:
        truth, voiced = (np.tile(x, repeats) for x in song.truth(n_frames, hop_length))
        voiced = inner(voiced, 1)
        assert uv[voiced].mean() > 0.99
        assert np.mean(np.abs(cents(f0, truth))[voiced] < 50) > 0.98


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("modules.f0_predictor.swift.find_spec", lambda name: None)
    with pytest.raises(MissingWeightsError, match="swift-f0 is not installed; get it with: pip install -r"):
        F0_PREDICTORS.build("swift-f0")


def test_without_its_package_the_default_is_another_and_said_once(monkeypatch, caplog):
    assert f0_predictor.choose_default() == f0_predictor.DEFAULT_PREDICTOR == "swift-f0"
    monkeypatch.setattr(f0_predictor, "find_spec", lambda name: None)
    assert f0_predictor.choose_default() == "pm"
    f0_predictor.warn_of_fallback.cache_clear()
    f0_predictor.warn_of_fallback("pm")  # somebody's own choice
    assert not caplog.records
    monkeypatch.setattr(f0_predictor, "DEFAULT_PREDICTOR", "pm")
    f0_predictor.warn_of_fallback.cache_clear()
    for name in ("dio", "pm", "pm"):
        f0_predictor.warn_of_fallback(name)
    (said,) = caplog.messages
    assert said.startswith("swift-f0, the default F0 predictor, is not installed, so pm takes its place: pip")


def test_a_narrow_range_is_respected(name, build):
    low, high = 180.0, 260.0
    f0, uv = build(name, f0_min=low, f0_max=high).predict(SONG.audio)
    assert uv.any()
    found = f0[uv > 0]
    assert found.min() > low / 1.05 and found.max() < high * 1.05  # refinement may exceed it slightly


@pytest.mark.parametrize("name", ["pm", "dio", "harvest"])
def test_a_lower_floor_changes_nothing_above_the_usual_one(name):
    """Its longer window would blur vibrato and quick notes."""
    time = np.arange(30000) / 22050
    f0 = 220 * 2 ** (np.sin(2 * np.pi * 6 * time) / 12)
    audio = np.sin(2 * np.pi * np.cumsum(f0) / 22050) * (time < 1.1)
    usual = F0_PREDICTORS.build(name, sampling_rate=22050, hop_length=256)
    found, voiced = usual.within(32.7, 1100.0).predict(audio)
    want, want_voiced = usual.predict(audio)
    singing = want_voiced > 0
    np.testing.assert_array_equal(found[singing], want[singing])
    assert (voiced[singing] > 0).all()
