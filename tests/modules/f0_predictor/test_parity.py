"""The published F0 tracks: the trackers' own frames agree; the rest differs by its wrong times.

The stored ``*_raw`` arrays are what the packages returned. The stored ``*_f0``
arrays have wrong times, so our track is read at those times for comparison.
"""

import numpy as np
import pytest

from modules.common.errors import ConfigError
from modules.dsp.audio import resample
from modules.dsp.f0 import fill_unvoiced
from modules.f0_predictor import F0_PREDICTORS
from modules.f0_predictor.crepe import BATCH, SILENCE, CrepePredictor, mean3, median3
from tests.support.golden_cases import load_case, voice

HOP = 512 / 44100  # s
VOICES = {
    "v220": voice(3.0, 44100, 220.0),
    "v110": voice(3.0, 44100, 110.0),
    "v220_odd": voice(1.3, 44100, 220.0)[:57000],
}


def cents(f0, other):
    return np.abs(1200 * np.log2(f0 / other))


@pytest.mark.parametrize("voice_name", VOICES)
@pytest.mark.parametrize("name", ["pm", "dio", "harvest"])
def test_raw_frames_are_the_packages(name, voice_name):
    published = load_case(f"f0_{name}")[f"{voice_name}_raw"]
    raw = F0_PREDICTORS.build(name).raw(VOICES[voice_name].astype(np.float64))
    if name == "dio":
        raw = np.round(raw, 1)  # the published wrapper rounds to 0.1 Hz, which is a cent at 170 Hz
    np.testing.assert_array_equal(raw > 0, published > 0)
    np.testing.assert_allclose(raw, published, atol=1e-2)


@pytest.mark.parametrize("voice_name", VOICES)
@pytest.mark.parametrize("name", ["dio", "harvest"])
def test_world_s_frames_keep_their_times(name, voice_name):
    case = load_case(f"f0_{name}")
    raw, published, published_uv = (case[f"{voice_name}_{kind}"] for kind in ("raw", "f0", "uv"))
    f0, uv = F0_PREDICTORS.build(name).predict(VOICES[voice_name])
    np.testing.assert_array_equal(uv, raw[: len(uv)] > 0)
    # subtracting the mean first changes stonemask by some hundredths of a hertz
    np.testing.assert_allclose(f0, fill_unvoiced(raw[: len(uv)])[0], atol=0.2)
    # the published arrays are ours, stretched
    n_frames = len(published)
    f0, uv = F0_PREDICTORS.build(name).predict(VOICES[voice_name], n_frames + 1)
    read_at = np.arange(n_frames) * (n_frames + 1) / n_frames
    voiced = (uv[np.floor(read_at).astype(int)] > 0) & (uv[np.ceil(read_at).astype(int)] > 0)
    np.testing.assert_array_equal(published_uv > 0, voiced)
    stretched = np.interp(read_at, np.arange(n_frames + 1), f0)
    np.testing.assert_allclose(published[voiced], stretched[voiced], atol=0.2)


@pytest.mark.parametrize("voice_name", VOICES)
def test_praat_frames_agree_at_praats_own_times(voice_name):
    raw = load_case("f0_pm")[f"{voice_name}_raw"]
    audio = VOICES[voice_name]
    f0, uv = F0_PREDICTORS.build("pm").predict(audio)
    # Praat centres its frames in the sound
    times = len(audio) / 44100 / 2 + (np.arange(len(raw)) - (len(raw) - 1) / 2) * HOP
    before = np.floor(times / HOP).astype(int)
    voiced = (uv[before] > 0) & (uv[np.minimum(before + 1, len(uv) - 1)] > 0)
    ours = np.interp(times, np.arange(len(f0)) * HOP, f0)
    assert np.mean((raw > 0) == voiced) > 0.95  # edges fall between two frames
    both = voiced & (raw > 0)
    assert np.percentile(cents(ours[both], raw[both]), 95) < 3  # linear interpolation


@pytest.fixture(scope="module")
def full():
    return CrepePredictor()


class TestCrepe:
    case = load_case("f0_crepe")

    def test_network_and_decoding_of_the_full_model_which_is_the_default(self, full):
        audio = resample(voice(1.0, 44100), 44100, 16000)
        # torchcrepe's own frames: 185 samples at 16 kHz
        pitch, periodicity, level = full.analyse(audio, 185 * np.arange(40))
        # another resampler (soxr for resampy) moves the salience in the fourth digit
        np.testing.assert_allclose(periodicity, self.case["full_periodicity_raw"][:40], atol=2e-3)
        # the published pitch carries noise of ±20 cents on 20-cent bins
        error = cents(pitch, self.case["full_pitch_raw"][:40])
        assert error.max() < 40 and np.median(error) < 12
        assert (level > SILENCE).all() and (self.case["full_periodicity_silenced"] > 0).all()
        f0, uv = full.predict(voice(1.0, 44100)[: 22 * 512])
        published = self.case["full_f0"][: len(f0)]
        assert uv.mean() > 0.9
        assert cents(f0, published)[uv > 0].max() < 40

    def test_tiny_model_and_no_other(self):
        with pytest.raises(ConfigError, match="full or tiny"):
            CrepePredictor(model="huge")
        f0, uv = CrepePredictor(model="tiny").predict(voice(2.5, 44100))
        published, published_uv = self.case["tiny_2.5s_f0"], self.case["tiny_2.5s_uv"]
        # its mean filter extends voiced regions by a frame at each end
        assert np.mean(uv == published_uv) > 0.97
        both = (uv > 0) & (published_uv > 0)
        assert cents(f0, published)[both].max() < 45

    def test_filters(self):
        case = self.case
        np.testing.assert_allclose(median3(case["filter_in"]), case["median3"], atol=1e-5)
        np.testing.assert_allclose(mean3(case["filter_in"]), case["mean3"], atol=1e-5)
        periodicity, pitch = case["full_periodicity_raw"], case["full_pitch_thresholded_nan"]
        np.testing.assert_allclose(median3(periodicity), case["full_periodicity_median"], atol=1e-5)
        np.testing.assert_allclose(mean3(pitch), case["full_pitch_mean_nan"], atol=1e-4)
        published = case["mean3_zero_out"]  # NaN where the mean is 0
        np.testing.assert_allclose(mean3(case["mean3_zero_in"]), np.nan_to_num(published), atol=1e-5)
        for values in (np.full(3, np.nan), np.full(1, np.nan)):
            assert np.isnan(mean3(values)).all() and np.isnan(median3(values)).all()

    def test_threshold_decides_what_is_voiced_and_digital_silence_is_not(self):
        audio = voice(1.0, 44100)
        lax, strict = (CrepePredictor(model="tiny", threshold=t).predict(audio)[1] for t in (0.05, 0.9))
        assert (strict <= lax).all() and 0 < strict.sum() < lax.sum()
        audio[20000:30000] = 0
        _, uv = CrepePredictor(model="tiny", threshold=0.0).predict(audio)
        assert not uv[43:55].any() and uv[:35].all()

    def test_a_soft_voice_is_voiced_as_a_loud_one(self):
        """Down to the noise of 16 bits."""
        audio = voice(1.0, 44100)
        loud, soft = (CrepePredictor(model="tiny").predict(gain * audio)[1] for gain in (1.0, 2e-4))
        np.testing.assert_array_equal(soft, loud)

    def test_batches_do_not_grow_with_the_song(self):
        predictor = CrepePredictor(model="tiny")
        sizes = []
        predictor.network.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
        predictor.predict(voice(2.5, 44100))
        assert max(sizes) == BATCH and sum(sizes) == 215
