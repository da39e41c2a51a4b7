"""Forced clips and cross-fades: the published assembly, on the output's clock, in a stream."""

import numpy as np
import pytest

from inference.stitch import JOIN, Chunk, Stitcher, plan
from modules.dsp.slicer import Range, measure, slice_ranges
from tests.support.golden_cases import load_case

RATE = 44100
STITCH, GAIN = load_case("stitch"), load_case("stitch_gain")


def tone(t: np.ndarray) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * (500 + 40 * t) * t)


def build(name: str) -> np.ndarray:
    if name == "A":
        return tone(np.arange(int(7.3 * RATE)) / RATE).astype(np.float32)
    last = tone((18 * RATE + np.arange(int(5.5 * RATE))) / RATE)
    return np.concatenate([tone(np.arange(6 * RATE) / RATE), np.zeros(12 * RATE), last]).astype(np.float32)


def assemble(chunks: list[Chunk], render) -> np.ndarray:
    stitcher = Stitcher()
    return np.concatenate(
        [stitcher.push(chunk, render(number, chunk)) for number, chunk in enumerate(chunks)]
    )


def settings_of(case: str) -> tuple[float, float, float]:
    clip, gradient, retain = case.split("_")[-3:]
    return float(clip[4:]), float(gradient[2:]), float(retain[3:])


def ranges_of(audio: np.ndarray) -> list[Range]:
    return slice_ranges(measure(audio, RATE), len(audio), RATE)


# at other rates the published project computes lengths on the wrong clock: the song comes out 10 % too long
@pytest.mark.parametrize("case", [name for name in STITCH.arrays if "_44100_clip" in name])
def test_published_assembly(case):
    audio = build(case[0])
    chunks = plan(ranges_of(audio), RATE, *settings_of(case))
    out = assemble(chunks, lambda _, chunk: audio[chunk.start : chunk.end] * (not chunk.silent))
    assert len(out) == STITCH.manifest["summary"][case]["ideal_length"]
    # the published arrays went through 16 bits; nothing else differs
    np.testing.assert_allclose(out[::97], STITCH[case], atol=6e-5, rtol=0)
    np.testing.assert_allclose(out, audio, atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", [name for name in GAIN.arrays if name.startswith("index")])
def test_published_cross_fades(case):
    chunks = plan([Range(0, 321930, False)], RATE, *settings_of(case))
    out = assemble(chunks, lambda number, chunk: np.full(len(chunk), (number + 1) / 8, np.float32))
    np.testing.assert_allclose(out[::97], GAIN[case], atol=1e-5, rtol=0)
    edges = np.flatnonzero(np.diff(out)) + 1
    spans = np.split(edges, np.flatnonzero(np.diff(edges) > 1) + 1) if len(edges) else []
    wanted = GAIN.manifest["summary"][case][
        "changing spans [first, last] sample (output[i] != output[i-1] for first<i<=last)"
    ]
    assert [[span[0] - 1, span[-1]] for span in spans] == wanted


@pytest.mark.parametrize(
    ("rate", "settings"),
    [
        (16000, (1, 5e-5, 0.75)),
        (16000, (0.1, 0.1, 1.0)),
        (44100, (0.001, 0.001, 0.3)),
        (16000, (8, 0, 1)),
    ],
)
def test_every_sample_is_given_once(settings, rate):
    rng = np.random.default_rng(5)
    bounds = np.unique([0, *rng.integers(1, 3 * rate, 7), 3 * rate, 3 * rate + 1, 12 * rate])
    pairs = enumerate(zip(bounds.tolist(), bounds[1:].tolist(), strict=False))
    ranges = [Range(start, end, i % 3 == 1) for i, (start, end) in pairs]
    chunks = plan(ranges, rate, *settings)
    assert (chunks[0].start, chunks[-1].end) == (0, 12 * rate)
    ramp = np.arange(12 * rate, dtype=np.float32)
    out = assemble(chunks, lambda _, chunk: ramp[chunk.start : chunk.end])
    np.testing.assert_allclose(out, ramp, rtol=1e-6)


def test_silence_is_zero_and_meets_singing_without_a_click():
    ranges = [Range(0, RATE, False), Range(RATE, 2 * RATE, True), Range(2 * RATE, 3 * RATE, False)]
    out = assemble(plan(ranges, RATE), lambda _, chunk: np.full(len(chunk), not chunk.silent, np.float32))
    assert not out[RATE : 2 * RATE].any()
    fade = round(JOIN * RATE)
    assert (out[: RATE - fade] == 1).all() and (out[2 * RATE + fade :] == 1).all()
    assert np.abs(np.diff(out)).max() < 2 / fade
    # a cut that was not asked for is blended
    chunks = plan([Range(0, RATE, False), Range(RATE, 2 * RATE, False)], RATE)
    out = assemble(chunks, lambda number, chunk: np.full(len(chunk), number, np.float32))
    assert len(out) == 2 * RATE and np.abs(np.diff(out)).max() < 2 / fade


def test_tiny_and_very_long_slices_and_wrong_chunks():
    for n in (1, 2, 3, 100):
        ranges = [Range(0, 500, True), Range(500, 500 + n, False), Range(500 + n, 1500, True)]
        chunks = plan(ranges, RATE)
        assert len(assemble(chunks, lambda _, chunk: np.ones(len(chunk), np.float32))) == 1500
    chunks = plan([Range(0, 3600 * RATE, True)], RATE)
    assert max(len(chunk) for chunk in chunks) <= 30 * RATE and chunks[-1].end == 3600 * RATE
    assert plan([], RATE) == []
    with pytest.raises(ValueError, match="samples"):
        Stitcher().push(Chunk(0, 10, False), np.zeros(9, np.float32))
    with pytest.raises(ValueError, match="held"):
        Stitcher().push(Chunk(0, 10, False, fade_in=3), np.zeros(10, np.float32))
