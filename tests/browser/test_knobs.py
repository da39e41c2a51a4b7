"""The fields for pitch and timbre on the tab Convert: what they do to a song, and presets of them."""

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from modules.f0_predictor import F0_PREDICTORS
from tests.browser.acts import SLOW, button, choose, field, fold, pick_song, pick_voice, see
from tests.browser.conftest import settle
from tests.support.processes import wait_until

pytestmark = pytest.mark.browser

RATE, HERTZ = 44100, 226.0  # 47 cents above A3
BURST = slice(5 * RATE, 6 * RATE)  # s 5 to 6: a consonant, a long one
KNOBS = {"Autotune": "1", "Formants, semitones": "4", "Protection": "1"}


def song() -> np.ndarray:
    time = np.arange(12 * RATE) / RATE
    audio = sum(np.sin(2 * np.pi * HERTZ * k * time) / k for k in range(1, 8)) * 0.1
    audio[BURST] = np.random.default_rng(0).normal(0, 0.05, RATE)
    return audio.astype(np.float32)


def type_into(page, label, value):
    number = field(page, label)
    number.fill(value)
    number.press("Tab")


def made(page, project, *parts):
    """Convert, and return the result with these words in its name; that of before is still shown as done."""

    def found():
        paths = (project / "results").glob("sharp_*")
        return [path for path in paths if path.stem.split("_")[5:] == [*parts]]

    button(page, "Convert").click()
    wait_until(found, None, SLOW / 1000)
    return soundfile.read(found()[0])[0]


def spectrum(audio):
    """Mean level of a note by frequency, dB, smooth."""
    part = audio[2 * RATE : 4 * RATE]
    power = np.square(np.abs(np.fft.rfft(part * np.hanning(len(part)))))
    return 10 * np.log10(power[: 2 * 12000].reshape(-1, 1000).mean(1) + 1e-12)


def test_knobs_are_heard_and_kept_in_a_preset(page, project):
    soundfile.write(project / "raw" / "sharp.wav", song(), RATE)
    page.reload()
    settle(page)
    pick_voice(page)
    pick_song(page, "sharp.wav")
    field(page, "Choose the key").check()
    plain = made(page, project)
    see(page, "Key +12: the song lies at")
    fold(page, "Timbre")
    fold(page, "Pitch")
    for label, value in KNOBS.items():
        type_into(page, label, value)
    choose(page, "Scale", "C:maj")
    changed = made(page, project, "autotune1", "Cmaj", "formant4", "protect1")
    for audio, hertz in ((plain, 2 * HERTZ), (changed, 440.0)):
        f0, uv = F0_PREDICTORS.build("pm", sampling_rate=RATE).predict(audio)
        assert np.median(f0[uv > 0]) == pytest.approx(hertz, rel=0.003)
    assert np.ptp(spectrum(changed) - spectrum(plain)) > 3  # dB
    inner = slice(BURST.start + RATE // 10, BURST.stop - RATE // 10)
    alike = [abs(np.corrcoef(audio[inner], song()[inner])[0, 1]) for audio in (plain, changed)]
    assert alike[0] < 0.3 < 0.9 < alike[1]

    fold(page, "File and precision")
    type_into(page, "Preview, s", "3")
    short = made(page, project, "autotune1", "Cmaj", "formant4", "protect1", "preview3")
    assert len(short) == pytest.approx(3 * RATE, abs=RATE // 2)

    fold(page, "Presets")
    field(page, "Preset", exact=True).fill("my knobs")
    field(page, "Preset", exact=True).press("Enter")
    button(page, "Save").click()
    see(page, "Saved as my knobs.json")
    for label in KNOBS:
        type_into(page, label, "0")
    field(page, "Choose the key").uncheck()
    page.reload()
    settle(page)
    for name in ("Timbre", "Pitch", "Presets"):
        fold(page, name)
    choose(page, "Preset", "my knobs")
    for label, value in KNOBS.items():
        expect(field(page, label)).to_have_value(value)
    expect(field(page, "Scale", exact=True)).to_have_value("C:maj")
    expect(field(page, "Choose the key")).to_be_checked()
