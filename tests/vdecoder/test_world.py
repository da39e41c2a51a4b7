import math
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from scipy.fft import dct, idct

from modules.common.errors import ConfigError
from modules.config import DataConfig
from modules.dsp.mel import FLOOR, LogMel
from tests.support.golden_cases import signal, voice
from vdecoder.world import WorldVocoder
from vdecoder.world_synthesis import minimum_phase, pulse_train

DATA = DataConfig()
HOP, RATE = DATA.hop_length, DATA.sampling_rate
log_mel = LogMel(DATA)
WORLD = WorldVocoder(DATA)


def constant(n_frames, f0, voiced=1.0):
    return torch.full((n_frames,), float(f0)), torch.full((n_frames,), float(voiced))


def harmonics(f0, seconds=1.0, n_harmonics=10, amplitude=0.05):
    time = torch.arange(round(seconds * RATE) // HOP * HOP, dtype=torch.float64) / RATE
    order = torch.arange(1, n_harmonics + 1)[:, None]
    return (amplitude * torch.sin(2 * math.pi * f0 * order * time)).sum(0).float()


def glide(n_frames, hop_length=HOP, rate=RATE):
    """F0 and voicing of tests.support.golden_cases.voice."""
    time = torch.arange(n_frames) * (hop_length / rate)
    return 220.0 * 2.0 ** (0.5 + 0.5 * torch.sin(math.pi * time)), (time % 0.5 < 0.45).float()


def decibels(amplitudes):
    return 10 * math.log10(float(amplitudes.double().square().mean()) + 1e-30)


def share_above(audio, hertz):
    spectrum = torch.fft.rfft(audio).abs()
    return decibels(spectrum * (torch.arange(len(spectrum)) * RATE / len(audio) > hertz)) - decibels(spectrum)


@pytest.mark.parametrize("f0", [55.0, 220.0, 1100.0])
def test_voiced_level_and_harmonics(f0):
    audio = harmonics(f0)
    mel = log_mel(audio[None])[0]
    again = WORLD.synthesize(mel, *constant(mel.shape[1], f0))[4 * HOP : -4 * HOP]
    # linear interpolation in the log between bands loses some of the highest pitches
    assert abs(decibels(again) - decibels(audio)) < (1.0 if f0 < 500 else 2.0)
    power = torch.fft.rfft(again * torch.hann_window(len(again))).abs().square()
    cycles = torch.arange(len(power)) * RATE / len(again) / f0
    on_harmonics = (cycles - cycles.round()).abs() * f0 < 8.0
    assert power[on_harmonics].sum() / power.sum() > 0.97


def test_unvoiced_level_and_the_mel_are_reproduced():
    world = WorldVocoder(DATA, sharper=0.0)
    audio = torch.from_numpy(signal("hiss", (86 * HOP,), 0.1))
    # what is above the last band is not in the mel
    spectrum = torch.fft.rfft(audio)
    spectrum[torch.arange(len(spectrum)) * RATE / len(audio) > 15500] = 0
    audio = torch.fft.irfft(spectrum)
    again = world.synthesize(log_mel(audio[None])[0], *constant(86, 0, 0))
    assert abs(decibels(again) - decibels(audio)) < 1.0
    audio = torch.from_numpy(voice(1.4, RATE))[: 120 * HOP]
    mel = log_mel(audio[None])[0]
    again = log_mel(world.synthesize(mel, *glide(120))[None])[0]
    loud = mel > -6
    # random noise alone differs from its own mean spectrum by about 0.3
    assert (again - mel)[loud].abs().mean() < 0.35
    assert abs((again - mel)[loud].mean()) < 0.15


def test_formants_are_sharpened_and_the_level_stays():
    rng, n_frames = np.random.default_rng(2), 300
    cepstrum = np.zeros(DATA.n_mels)
    cepstrum[0], cepstrum[1], cepstrum[3:12] = -35, 3, rng.normal(0, 2, 9)
    mel = torch.from_numpy(np.tile(idct(cepstrum, norm="ortho")[:, None], n_frames).astype(np.float32))
    hiss = constant(n_frames, 0, 0)
    sharper = WORLD.synthesize(mel, *hiss)
    plain = WorldVocoder(DATA, sharper=0.0).synthesize(mel, *hiss)
    assert abs(decibels(sharper) - decibels(plain)) < 0.5
    found = [dct(log_mel(sound[None])[0].mean(1).numpy(), norm="ortho") for sound in (sharper, plain)]
    grown = [
        found[0][part] @ found[1][part] / np.square(found[1][part]).sum()
        for part in (slice(3, 12), slice(1, 2))
    ]
    assert grown == pytest.approx([1.2, 1.0], abs=0.05)


@pytest.mark.parametrize("voiced", [0.0, 1.0])
def test_there_is_no_delay(voiced):
    """The centre of gravity of bursts does not move."""
    audio = torch.zeros(100 * HOP)
    starts = [10_000, 25_300, 40_777]
    carrier = harmonics(200.0, 2.0) if voiced else torch.from_numpy(signal("burst", (88200,), 0.1))
    shape = torch.hann_window(6000)
    for start in starts:
        audio[start : start + 6000] = carrier[start : start + 6000] * shape
    again = WORLD.synthesize(log_mel(audio[None])[0], *constant(100, 200.0, voiced))
    for start in starts:
        window = slice(start - 2000, start + 8000)
        clock = torch.arange(10_000).double()
        before, after = (
            (x[window].double().square() * clock).sum() / x[window].double().square().sum()
            for x in (audio, again)
        )
        assert abs(after - before) < 0.25 * HOP


@pytest.mark.parametrize("voiced", [0.0, 1.0])
def test_silence_stays_silent(voiced):
    audio = WORLD.synthesize(torch.full((128, 50), math.log(FLOOR)), *constant(50, 200, voiced))
    assert decibels(audio) < -90
    # a model may predict less than the floor
    lower = WORLD.synthesize(torch.full((128, 50), -30.0), *constant(50, 200, voiced))
    assert torch.equal(audio, lower)


def test_rests_and_missing_treble_stay_empty_and_changes_of_voicing_do_not_click():
    audio = torch.zeros(80 * HOP)
    note = harmonics(220.0, 0.5)
    audio[: len(note)] = note
    mel = log_mel(audio[None])[0]
    again = WORLD.synthesize(mel, *constant(80, 220))
    assert decibels(again[len(note) + 3 * HOP :]) < -85
    low = voice(1.0, 22050) + signal("room", (22050,), 0.003)
    audio = torch.from_numpy(soxr.resample(low, 22050, RATE).astype(np.float32))[: 86 * HOP]
    again = WORLD.synthesize(log_mel(audio[None])[0], *glide(86))
    assert share_above(again, 12000) < share_above(audio, 12000) + 1
    mel = log_mel(harmonics(220.0, 1.0, n_harmonics=6)[None])[0]  # nothing above 1320 Hz
    f0, uv = constant(mel.shape[1], 220)
    as_noise = WORLD.synthesize(mel, f0, torch.zeros_like(uv))
    uv[::2] = 0
    assert share_above(WORLD.synthesize(mel, f0, uv), 5500) < share_above(as_noise, 5500)


def test_other_analysis_settings():
    data = DataConfig(
        sampling_rate=16000, n_fft=1024, win_length=1024, hop_length=200, n_mels=80, f_max=8000.0
    )
    mel = LogMel(data)
    audio = torch.from_numpy(voice(0.4, 16000))[: 30 * 200]
    again = WorldVocoder(data).synthesize(mel(audio[None])[0], *glide(30, 200, 16000))
    assert again.shape == (6000,)
    assert abs(decibels(again) - decibels(audio)) < 1
    with pytest.raises(ConfigError, match="win_length"):
        WorldVocoder(DataConfig(win_length=1024))
    with pytest.raises(ConfigError, match="has no weights"):
        WorldVocoder(DATA, weights=Path("model"))


def test_minimum_phase():
    """Oracle: a filter with its zero inside the unit circle is minimum phase already."""
    response = np.fft.rfft(np.array([[1.0, -0.7, 0.2] + 61 * [0.0]], np.float32))
    np.testing.assert_allclose(minimum_phase(np.abs(response)), response, rtol=0, atol=1e-5)


def test_pulses_are_between_samples_and_do_not_drift():
    rate = np.full(44100, 441.3 / 44100)
    pulses = pulse_train(rate)
    spectrum = np.abs(np.fft.rfft(pulses * np.hanning(44100)))
    freqs = np.arange(len(spectrum))
    cycles = freqs / 441.3
    far = np.abs(cycles - np.round(cycles)) * 441.3 > 20
    # 50 dB: what the short sinc leaves between the lines
    assert spectrum[far & (freqs < 15000)].max() < 3e-3 * spectrum.max()
    # the last of 441 pulses is still on time: its position is the centre of its lobe
    last = 441 / (441.3 / 44100) - 1
    lobe = slice(round(last) - 4, round(last) + 5)
    centre = (np.arange(44100)[lobe] * pulses[lobe]).sum() / pulses[lobe].sum()
    assert abs(centre - last) < 0.2
