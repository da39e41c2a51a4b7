"""Breaths and voiceless consonants: the source's own sound at the level of the result."""

from dataclasses import replace

import numpy as np
import pytest

from inference.timbre.protection import drop_unpitched, keep_unvoiced
from modules.dsp.f0 import fill_unvoiced
from tests.inference.tiny import RATE, convert, write_song, write_voice
from tests.support.golden_cases import voice

HOP = 512
FRAMES = RATE / HOP


def rms(audio):
    return float(np.sqrt(np.square(audio).mean()))


def test_unvoiced_sounds_of_the_source_come_at_the_level_of_the_result():
    rng, n = np.random.default_rng(0), 60
    uv = np.zeros(n, np.float32)
    uv[20:40] = 1
    voiced = np.repeat(uv, HOP) > 0
    tone = np.sin(np.arange(n * HOP) * 0.05)
    source = np.where(voiced, tone, 0.2 * rng.standard_normal(n * HOP)).astype(np.float32)
    result = np.where(voiced, 0.3 * tone, 0.0).astype(np.float32)
    kept = keep_unvoiced(result, source, uv, HOP, RATE, 1.0)
    inside = slice(21 * HOP, 38 * HOP)
    np.testing.assert_array_equal(kept[inside], result[inside])
    assert rms(kept[: 18 * HOP]) == pytest.approx(0.06, rel=0.03)  # as far below the voice as in the source
    half = keep_unvoiced(result, source, uv, HOP, RATE, 0.5)
    assert rms(half[: 18 * HOP]) == pytest.approx(0.03, rel=0.03)
    assert np.abs(np.diff(kept)).max() < 2 * np.abs(np.diff(source)).max()  # no click
    everything = keep_unvoiced(result, 0 * source, uv, HOP, RATE, 1.0)
    assert np.isfinite(everything).all()


def test_whisper_and_fry_are_not_pitched():
    f0 = np.zeros(200)
    f0[20:90] = 220.0
    f0[90:120] = 45.0  # fry at the end of a phrase
    f0[150:153] = 300.0  # a tracker's error in a breath
    kept, uv = drop_unpitched(*fill_unvoiced(f0), FRAMES)
    assert uv[20:90].all() and not uv[90:].any()
    assert kept[100] == pytest.approx(220)  # the gap is filled, not sung at 45 Hz
    low = np.where(np.arange(200) < 150, 60.0, 0.0)  # a bass sings there
    assert drop_unpitched(*fill_unvoiced(low), FRAMES)[1][:150].all()
    whisper = np.zeros(200)
    whisper[50:57] = 400.0
    assert not drop_unpitched(*fill_unvoiced(whisper), FRAMES)[1].any()


def test_a_protected_conversion_has_the_noise_of_its_source(tmp_path):
    options = write_voice(tmp_path / "voice")
    noise = (0.05 * np.random.default_rng(0).standard_normal(RATE // 2)).astype(np.float32)
    song = write_song(tmp_path / "song.wav", np.concatenate([voice(1.0, RATE), noise]))
    plain, kept = convert(options, song), convert(options, song, protect=1.0)
    end = slice(round(1.2 * RATE), round(1.45 * RATE))
    source = np.pad(noise, (RATE, 0))[end]

    def alike(x):
        return abs(np.corrcoef(x[end], source)[0, 1])

    assert alike(kept) > 0.9 > 0.3 > alike(plain)
    np.testing.assert_array_equal(plain, convert(replace(options, protect=0.0), song))
