"""FCPE: the published numbers, long and short recordings, and no output of the package.

The goldens ``suite_reduced_*`` and ``suite_mel_0.5s_16k`` are of another network,
that of the published project's ``pretrain/fcpe.pt``; torchfcpe's replaces it.
"""

import numpy as np
import pytest

from modules.dsp.audio import resample
from modules.dsp.f0 import fill_unvoiced
from modules.f0_predictor import F0_PREDICTORS, fcpe
from modules.f0_predictor.salience import decode
from tests.modules.f0_predictor.published import to_16k
from tests.support.golden_cases import load_case, voice

CASE = load_case("f0_fcpe")


@pytest.fixture(scope="module")
def predictor():
    return F0_PREDICTORS.build("fcpe")


@pytest.mark.parametrize("threshold", [0.006, 0.05])
def test_parity_with_the_package(predictor, monkeypatch, threshold):
    assert predictor.threshold == 0.05, "the published project's"
    monkeypatch.setattr(predictor, "threshold", threshold)
    pitch = predictor.pitch(voice(2.0, 16000))
    published = CASE[f"pkg_f0_2s_16k_thr{threshold}"]
    np.testing.assert_array_equal(pitch > 0, published > 0)
    np.testing.assert_allclose(pitch, published, atol=0.1)


def test_parity_at_44100_hz_and_with_the_wrapper_at_its_own_times(predictor):
    published = CASE["pkg_f0_2s_44k_thr0.05"]
    np.testing.assert_allclose(predictor.pitch(to_16k(voice(2.0, 44100))), published, atol=0.1)
    pitch = predictor.pitch(resample(voice(2.0, 44100), 44100, 16000))
    np.testing.assert_array_equal(pitch > 0, published > 0)
    difference = np.abs(pitch - published)
    assert np.median(difference) < 0.1 and difference.max() < 1
    assert difference[np.arange(len(pitch)) % 50 < 45].max() < 0.3  # beside bursts of noise up to 8 kHz
    published, published_uv = CASE["wrapper_on_pkg_f0"], CASE["wrapper_on_pkg_uv"]
    # frame i of the wrapper is frame floor(i * L / N), up to a frame late
    f0, uv = fill_unvoiced(pitch[np.arange(len(published)) * len(pitch) // len(published)])
    np.testing.assert_array_equal(uv, published_uv)
    np.testing.assert_allclose(f0, published, atol=1)
    assert np.median(np.abs(f0 - published)) < 0.1
    ours, ours_uv = predictor.predict(voice(2.0, 44100))
    assert np.mean(ours_uv == published_uv) > 0.98


def test_parity_of_the_bins_and_of_decoding(predictor):
    np.testing.assert_allclose(predictor.cents, CASE["cent_table"], atol=1e-2)
    found = decode(CASE["salience"], CASE["cent_table"].astype(np.float64), 20.0, 4000.0, 0.05)
    # at either end of the table the published code counts the last bin several times
    whole = np.abs(CASE["salience"].argmax(1) - 179.5) < 175
    assert whole.sum() >= 4
    np.testing.assert_allclose(found[whole], CASE["decode_local_f0_thr0.05"][whole], atol=1e-2)


def test_chunks_change_nothing(predictor, monkeypatch):
    sounds = [voice(4.0, 16000)[:n_samples] for n_samples in (50000, 51040, 47999)]  # 51040: five chunks
    whole = [predictor.pitch(sound) for sound in sounds]
    rows = []
    predictor.network.norm.register_forward_hook(lambda module, inputs, out: rows.append(out.shape[1]))
    monkeypatch.setattr(fcpe, "CHUNK", 64)
    for sound, pitch in zip(sounds, whole, strict=True):
        assert len(pitch) == len(sound) // 160 + 1
        np.testing.assert_allclose(predictor.pitch(sound), pitch, rtol=1e-5)
    assert max(rows) == 64


def test_the_package_prints_nothing_and_has_its_weights(capfd):
    predictor = F0_PREDICTORS.build("fcpe")
    n_weights = sum(tensor.numel() for tensor in predictor.network.state_dict().values())
    assert n_weights == CASE.manifest["facts"]["bundled_params"]
    predictor.predict(5 * voice(0.5, 44100))  # torchfcpe warns of samples beyond 1
    assert capfd.readouterr() == ("", "")
