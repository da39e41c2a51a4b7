import librosa
import numpy as np
import pytest
import torch
from scipy.fft import dct

from tests.support.golden_cases import signal, voice
from vencoder.mfcc import MfccEncoder

RATE, HOP = 16000, 320
ENCODER = MfccEncoder("mfcc")


@pytest.fixture(scope="module")
def speech():
    """Three seconds of changing vowels: noise through moving resonators, with rests."""
    source = torch.from_numpy(voice(3.0, RATE, 110.0) + signal("breath", (3 * RATE,), 0.01))
    frames = torch.stft(source, 512, 160, window=torch.hann_window(512), return_complex=True)
    bins, time = torch.arange(257.0)[:, None], torch.arange(frames.shape[1])[None]
    gain = torch.zeros(257, frames.shape[1])
    for centre, depth, rate in ((18, 8, 0.05), (45, 18, 0.083), (85, 10, 0.031)):
        gain = gain + torch.exp(-((bins - centre - depth * torch.sin(rate * time)) ** 2) / 60)
    return torch.istft(frames * (gain + 0.01), 512, 160, window=torch.hann_window(512), length=3 * RATE)


def test_number_of_units_and_a_silent_clip_has_no_content():
    for n_samples, n_units in ((1, 1), (479, 1), (480, 2), (640, 2), (799, 2), (800, 3), (16000, 50)):
        assert ENCODER.encode(torch.ones(n_samples)).shape == (12, n_units)
    for level in (0.0, 1e-6):
        units = ENCODER.encode(level * torch.from_numpy(signal("dither", (16000,))))
        assert torch.equal(units, torch.zeros(12, 50))


def test_against_librosa_and_scipy(speech):
    """On a clip that is loud throughout it is textbook MFCC, normalized, apart from the floor."""
    noise = speech[:16000] + torch.from_numpy(signal("loud", (16000,), 0.02))
    padded = np.pad(noise.double().numpy(), (96, 512))
    frames = librosa.util.frame(padded, frame_length=512, hop_length=HOP)[:, :50]
    power = np.abs(np.fft.rfft(frames * np.hanning(513)[:-1, None], axis=0)) ** 2
    bands = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40, norm=None) @ power
    wanted = dct(np.log(bands), axis=0, norm="ortho")[1:13]
    units = ENCODER.encode(noise).numpy()
    for row, want in zip(units, wanted, strict=True):
        assert np.corrcoef(row, want)[0, 1] > 0.99


def test_unit_u_is_at_the_middle_of_its_20_ms():
    """A click midway in unit 20 changes its neighbours equally."""
    audio = torch.from_numpy(signal("hum", (16000,), 0.1))
    smooth = torch.cat([audio[:1], 0.5 * audio[1:] + 0.5 * audio[:-1]])
    for unit in (20, 21):
        changed = audio.clone()
        middle = round((unit + 0.5) * HOP)
        changed[middle - 40 : middle + 40] = smooth[middle - 40 : middle + 40] * 3
        difference = (ENCODER.encode(changed) - ENCODER.encode(audio)).abs().mean(0)
        assert difference.argmax() == unit
        assert difference[unit - 1] < 0.5 * difference[unit] > difference[unit + 1]


def test_voices_are_centred_and_scaled_and_rests_inside_have_no_influence(speech):
    units = ENCODER.encode(speech)
    loud = units.abs().sum(0) > 0.5
    assert units[:, loud].mean(1).abs().max() < 0.3
    # the prior of half a second pulls scales towards those of speech
    assert 0.3 < units[:, loud].std(1).min() and units[:, loud].std(1).max() < 1.6
    quarter = len(speech) // 4 // HOP * HOP
    rest = torch.zeros(50 * HOP)
    units = ENCODER.encode(torch.cat([speech[:quarter], rest, speech[quarter:]]))
    plain, n = ENCODER.encode(speech), quarter // HOP
    # units whose window spans the cut differ, and change the statistics a little
    torch.testing.assert_close(units[:, : n - 1], plain[:, : n - 1], rtol=0, atol=0.1)
    torch.testing.assert_close(units[:, n + 51 :], plain[:, n + 1 :], rtol=0, atol=0.1)


def test_loudness_has_no_influence_and_faint_noise_around_the_voice_little(speech):
    for gain in (1e-3, 32768.0):
        torch.testing.assert_close(ENCODER.encode(speech * gain), ENCODER.encode(speech), rtol=0, atol=1e-3)
    pad = 25 * HOP
    room = torch.from_numpy(signal("room", (len(speech) + 2 * pad,), 1e-5))
    room[pad:-pad] += speech
    units = ENCODER.encode(room)[:, 25:-25]
    assert (units - ENCODER.encode(speech)).abs().mean() < 0.05


@pytest.mark.parametrize("seconds", [0.02, 10.0])
def test_silence_around_the_voice_has_no_influence(speech, seconds):
    n_units = round(seconds * 50)
    pad = torch.zeros(n_units * HOP)
    units = ENCODER.encode(torch.cat([pad, speech, pad]))
    # the window of one more unit at either end overlaps the voice
    torch.testing.assert_close(units[:, n_units:-n_units], ENCODER.encode(speech), rtol=0, atol=0.01)
    outside = units[:, : n_units - 1]
    assert outside.numel() == 0 or outside.abs().max() < 0.25, "silence is near the average"


def test_a_held_vowel_is_not_amplified_and_units_are_bounded(speech):
    time = torch.arange(RATE) / RATE
    tone = sum(torch.sin(2 * torch.pi * 150 * k * time) / k for k in range(1, 20))
    vowel = 0.1 * tone + torch.from_numpy(signal("breath", (RATE,), 1e-3))
    assert ENCODER.encode(vowel)[:, 2:-2].std(1).max() < 0.5
    click = torch.zeros(16000)
    click[8000] = 1.0
    for audio in (click, torch.cat([speech, 100 * click])):
        assert ENCODER.encode(audio).abs().max() <= 5.0
