import librosa
import numpy as np
import pytest

from modules.dsp.mel_basis import mel_basis


@pytest.mark.parametrize(
    "settings",
    [(44100, 2048, 128, 40.0, 16000.0), (16000, 512, 40, 0.0, 8000.0), (16000, 1024, 80, 1200.0, 7000.0)],
)
@pytest.mark.parametrize("equal_area", [True, False])
def test_the_filters_are_those_of_librosa(settings, equal_area):
    rate, n_fft, n_mels, low, high = settings
    wanted = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=low, fmax=high, norm="slaney" if equal_area else None
    )
    found = mel_basis(rate, n_fft, n_mels, low, high, equal_area)
    assert found.dtype == np.float32
    # float64 until the end, where librosa multiplies in float32: the last digit
    np.testing.assert_allclose(found, wanted, rtol=3e-7, atol=1e-9 * wanted.max())
