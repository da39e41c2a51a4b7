"""Silence: exact zeros and soft edges where the song is muted, soft singing that is none, and why all is."""

from dataclasses import replace

import numpy as np
import pytest

from inference.converter import Converter
from inference.silence_gate import FADE, GATE_MARGIN, SHORTEST, silence_gate
from tests.inference.tiny import HOP, RATE, read, write_song, write_voice
from tests.support.golden_cases import voice


def song(*parts: float) -> np.ndarray:
    """Voice, rest, voice ... of these lengths in s; the voice itself never rests."""
    pieces = [
        voice(length, RATE) + 0.01 if number % 2 == 0 else np.zeros(round(length * RATE))
        for number, length in enumerate(parts)
    ]
    return np.concatenate(pieces).astype(np.float32)


@pytest.mark.parametrize("rest", [SHORTEST, 4.0])
def test_a_rest_is_zero_and_its_edges_are_soft_and_inside(rest):
    gain = silence_gate(song(0.3, rest, 0.3), RATE)
    start, end, fade = round(0.3 * RATE), round(0.3 * RATE) + round(rest * RATE), round(FADE * RATE)
    assert (gain[:start] == 1).all() and (gain[end:] == 1).all()
    assert not gain[start + fade : end - fade].any()
    assert np.abs(np.diff(gain)).max() < 1.01 / fade
    assert gain.dtype == np.float32


@pytest.mark.parametrize("level", [0.0, 2.0**-17])
def test_dither_is_silence_and_a_quiet_room_is_not(level):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    audio = np.concatenate([voice(0.3, RATE), level * noise])
    assert not silence_gate(audio, RATE)[round(0.33 * RATE) : -round(0.02 * RATE)].any()
    room = np.concatenate([voice(0.3, RATE), 10 ** (-75 / 20) * noise])
    assert (silence_gate(room, RATE) == 1).all()


def test_gaps_within_words_and_very_short_audio_stay_and_any_rate_will_do():
    assert (silence_gate(song(0.3, 0.095, 0.3), RATE) == 1).all()
    for n in (0, 1, 881, 882, 883):
        assert silence_gate(np.zeros(n, np.float32), RATE).tolist() == [1.0] * n
    for rate in (8000, 22050):
        gain = silence_gate(np.repeat(np.float32([1, 0, 1]), rate), rate)
        assert not gain[round(1.01 * rate) : round(1.99 * rate)].any()
        assert (gain[:rate] == 1).all() and (gain[2 * rate :] == 1).all()


def test_slices_give_the_gains_of_the_whole():
    audio = song(0.2, 0.1, 0.15, 0.098, 0.2, 0.35, 0.1, 0.11, 0.2)
    margin = round(GATE_MARGIN * RATE)
    padded = np.pad(audio, margin)
    whole = silence_gate(padded, RATE)[margin:-margin]
    assert (whole == 0).any()
    rng = np.random.default_rng(1)
    for start in rng.integers(0, len(audio) - 10, 60):
        end = int(rng.integers(start + 1, len(audio)))
        part = silence_gate(padded[start : end + 2 * margin], RATE)[margin : margin + end - start]
        np.testing.assert_array_equal(part, whole[start:end])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Converter:
    return Converter(write_voice(tmp_path_factory.mktemp("model")))


@pytest.fixture
def convert(loaded, tmp_path, monkeypatch):
    """Convert samples with a model that renders a constant; return the conversion and its samples."""
    monkeypatch.setattr(
        loaded, "synthesize", lambda segment, report: np.full(segment.n_frames * HOP, 0.5, np.float32)
    )
    options = loaded.options

    def call(audio: np.ndarray, **changes):
        loaded.options = replace(options, **changes)
        path = write_song(tmp_path / "x.wav", audio, subtype="FLOAT")
        result = loaded.convert(path, tmp_path / "y.wav", "anna")
        return result, read(result.path)

    yield call
    loaded.options = options


def decibels(level: float) -> np.float32:
    return np.float32(10 ** (level / 20))


def sung(seconds: float) -> np.ndarray:
    """Singing without a rest, of RMS 1."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(220 + 20 * np.sin(2 * np.pi * 0.5 * t)) / RATE
    audio = sum(np.sin(k * phase) / k for k in range(1, 9)) * (1 + 0.8 * np.sin(2 * np.pi * 1.5 * t))
    return (audio / audio.std()).astype(np.float32)


def hiss(seconds: float) -> np.ndarray:
    """Noise of RMS 1."""
    return np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("peak", [-32, -45, -60, -75])
def test_a_soft_song_is_cut_and_gated_as_a_loud_one(convert, peak):
    rest = np.zeros(round(0.7 * RATE), np.float32)
    song = np.concatenate(
        [0.01 * hiss(0.2), voice(1.4, RATE), rest, voice(5.4, RATE), rest, voice(5.4, RATE)]
    )
    song /= np.abs(song).max()
    loud, wanted = convert(0.3 * song)
    soft, found = convert(decibels(peak) * song)
    assert wanted.any() and len(loud.chunks) == 3
    assert soft.chunks == loud.chunks
    # the edge of a gated rest is where the song passes the gate's threshold, to a few samples
    assert np.mean(found != wanted) < 1e-4


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_the_envelope_of_a_soft_song_is_that_of_a_loud_one(convert, strength):
    song = np.concatenate([sung(2), decibels(-35) * sung(2), sung(1)])
    changes = {"loudness_envelope_adjustment": strength, "wav_format": "wav"}
    wanted, found = (convert(decibels(level) * song, **changes)[1] for level in (-24, -66))
    scale = np.abs(found).max() / np.abs(wanted).max()
    assert scale == pytest.approx(decibels(-42) ** (1 - strength), rel=0.04)
    # 16 bits hold a soft result to a step
    np.testing.assert_allclose(found / scale, wanted, atol=0.02 * np.abs(wanted).max() + 2**-15 / scale)


def test_ordinary_songs_are_cut_at_the_level_that_was_asked_for(convert):
    """Whatever the song's own level: thresholds follow it only below that of a soft recording."""
    tone = np.sin(np.arange(round(0.8 * RATE)) / 20, dtype=np.float32) * np.float32(2**0.5)
    song = np.concatenate([sung(6), decibels(-30) * tone, sung(6)])
    cuts = [len(convert(decibels(level) * song)[0].chunks) for level in (-8, -12, -18, -22)]
    assert cuts == [1, 2, 2, 2]  # 30 dB below the singing is less than -40 from -10 on


@pytest.mark.parametrize("level", [-44, -48, -52])
def test_a_soft_verse_in_a_loud_song_is_converted_and_hiss_is_not(convert, level):
    """23 s at -48 dB, of which the published threshold of -40 leaves 17 s silent."""
    pause = 1e-4 * hiss(1)
    loud = decibels(-14) * sung(8)
    for soft, is_heard in ((sung(23), True), (hiss(23), False)):
        song = np.concatenate([loud, pause, decibels(level) * soft, pause, loud])
        result, out = convert(song)
        verse = out[9 * RATE : 32 * RATE]
        assert (np.count_nonzero(verse) == len(verse)) == is_heard
        if not is_heard:
            assert np.count_nonzero(verse) < 11 * RATE  # what is kept beside the singing
            assert sum(chunk.silent for chunk in result.chunks) == 1


def test_a_higher_threshold_leaves_out_what_it_did(convert):
    """-sd -30 is for hiss; it takes soft singing with it from 30 dB below the song on."""
    loud, pause = decibels(-14) * sung(8), 1e-4 * hiss(1)
    for level, converted in ((-40, True), (-48, False)):
        song = np.concatenate([loud, pause, decibels(level) * sung(23), pause, loud])
        _, out = convert(song, slice_db=-30.0)
        assert (np.count_nonzero(out[9 * RATE : 32 * RATE]) == 23 * RATE) == converted
    _, out = convert(np.concatenate([loud, decibels(-35) * hiss(23), loud]), slice_db=-30.0)
    assert np.count_nonzero(out[8 * RATE : 31 * RATE]) < 11 * RATE


def test_a_single_pop_does_not_make_a_soft_song_loud(convert):
    song = decibels(-50) * sung(20)
    song[9 * RATE : 9 * RATE + 4000] += 0.5 * hiss(1)[:4000]
    _, out = convert(song)
    assert np.count_nonzero(out) == len(out)


def test_a_silent_result_says_why_in_one_line(convert, caplog, loaded, monkeypatch):
    def warnings() -> list[str]:
        lines = [record.getMessage() for record in caplog.records if "is silent" in record.getMessage()]
        caplog.clear()
        return lines

    for audio, changes, reason in (
        (0.01 * hiss(2), {"slice_db": -3.0}, "with -sd -3 all of the song counts as silence"),
        (1e-5 * sung(2), {}, "dB, which is that of noise"),
    ):
        _, out = convert(audio, **changes)
        assert not out.any()
        (line,) = warnings()
        assert "y.wav is silent" in line and reason in line
    monkeypatch.setattr(
        loaded, "synthesize", lambda segment, report: np.zeros(segment.n_frames * HOP, np.float32)
    )
    convert(0.1 * sung(2))
    (line,) = warnings()
    assert "G_8.pth renders silence" in line
    convert(np.zeros(2 * RATE, np.float32))
    assert not warnings()  # the song is silent too


@pytest.mark.parametrize(
    "below",
    [
        lambda t: 0.05,
        lambda t: 0.3,
        lambda t: 0.1 * np.sin(2 * np.pi * 8 * t),
        lambda t: 0.05 * np.sin(2 * np.pi * 20 * t),
    ],
    ids=["offset", "large offset", "8 Hz", "20 Hz"],
)
def test_what_is_not_heard_does_not_move_cuts(convert, below):
    rest = 1e-4 * hiss(0.8)
    song = np.concatenate(
        [rest, voice(1.4, RATE), rest, voice(5.4, RATE), 1e-4 * hiss(13), voice(6.4, RATE), rest]
    )
    wanted = convert(song)[0].chunks
    assert len(wanted) == 5 and sum(chunk.silent for chunk in wanted) == 1
    found = convert((song + below(np.arange(len(song)) / RATE)).astype(np.float32))[0].chunks
    assert [chunk.silent for chunk in found] == [chunk.silent for chunk in wanted]
    for chunk in found[1:]:
        around = song[chunk.start - HOP : chunk.start + chunk.fade_in + HOP]
        assert np.abs(around).max() < 1e-3  # in a rest, if not at the same place of it
