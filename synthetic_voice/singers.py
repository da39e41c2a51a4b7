"""The table of synthetic singers: a new voice is one more entry.

They differ as voices do: in the length of the vocal tract and its formants, the
closure of the vocal folds, breathiness, range and vibrato.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.common.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SyntheticSinger:
    """One voice: first its timbre, then its style."""

    name: str
    tract: float  # cm, length of the vocal tract
    shape: tuple[float, float, float, float]  # factor on each of the first four formants
    bandwidth: float = 1.0  # factor on the formant bandwidths: above 1 is a duller, softer tract
    tilt: float = 2000.0  # Hz where the source starts to fall by 12 instead of 6 dB per octave
    glottal: float = 1.2  # glottal formant over f0: lower when the folds are open for longer
    breathiness: float = -32.0  # dB, aspiration under the voice re a sung vowel
    upper: int = 0  # seed of the fine structure above 4 kHz, which differs between vocal tracts
    low: int  # MIDI note, comfortable range
    high: int  # MIDI note
    vibrato_rate: float = 5.5  # Hz
    vibrato_depth: float = 45.0  # cents
    vibrato_delay: float = 0.25  # s after the onset of a note
    portamento: float = 0.09  # s from one note to the next
    jitter: float = 4.0  # cents, fast irregularity of the pitch
    shimmer: float = 0.25  # dB, fast irregularity of the loudness


SINGERS: dict[str, SyntheticSinger] = {
    singer.name: singer
    for singer in (
        SyntheticSinger(
            name="bruno",  # bass: long tract, heavy low formants, tight ring at 2.6 kHz
            tract=19.0,
            shape=(0.98, 0.95, 1.00, 0.88),
            bandwidth=0.9,
            tilt=1500,
            glottal=1.0,
            breathiness=-36,
            upper=1,
            low=40,
            high=57,
            vibrato_rate=5.0,
            vibrato_depth=55,
            portamento=0.11,
        ),
        SyntheticSinger(
            name="tomas",  # tenor: bright and forward
            tract=16.6,
            shape=(1.05, 1.03, 0.97, 0.92),
            bandwidth=0.95,
            tilt=3500,
            glottal=1.15,
            breathiness=-38,
            upper=2,
            low=48,
            high=66,
            vibrato_rate=5.8,
            vibrato_depth=60,
            vibrato_delay=0.2,
            portamento=0.07,
        ),
        SyntheticSinger(
            name="noor",  # alto: dark, soft, breathy, hardly any vibrato
            tract=15.8,
            shape=(0.92, 0.9, 1.07, 1.08),
            bandwidth=1.5,
            tilt=1000,
            glottal=0.85,
            breathiness=-29,
            upper=3,
            low=53,
            high=71,
            vibrato_rate=4.8,
            vibrato_depth=18,
            vibrato_delay=0.45,
            jitter=6.0,
        ),
        SyntheticSinger(
            name="sofia",  # soprano: clear, with a quick wide vibrato
            tract=14.3,
            shape=(1.0, 1.08, 0.98, 0.92),
            tilt=3600,
            glottal=0.95,
            breathiness=-35,
            upper=4,
            low=60,
            high=79,
            vibrato_rate=6.2,
            vibrato_depth=70,
            vibrato_delay=0.18,
            portamento=0.06,
        ),
        SyntheticSinger(
            name="kit",  # child: a short tract, straight tone, airy
            tract=12.0,
            shape=(1.1, 0.94, 1.0, 1.08),
            tilt=2600,
            glottal=1.0,
            breathiness=-34,
            upper=5,
            low=60,
            high=76,
            vibrato_depth=8,
            vibrato_delay=0.5,
            portamento=0.05,
            jitter=5.0,
        ),
        SyntheticSinger(
            name="ivan",  # baritone: plain speech-like pop voice with a nasal edge
            tract=17.6,
            shape=(0.94, 1.08, 1.06, 1.05),
            bandwidth=1.15,
            tilt=2400,
            glottal=0.95,
            breathiness=-33,
            upper=6,
            low=45,
            high=62,
            vibrato_rate=5.3,
            vibrato_depth=25,
            vibrato_delay=0.4,
            portamento=0.08,
        ),
    )
}


def find_singer(singer: str | SyntheticSinger) -> SyntheticSinger:
    """Singer of that name (a SyntheticSinger is returned unchanged); raises ConfigError."""
    if isinstance(singer, SyntheticSinger):
        return singer
    if singer not in SINGERS:
        raise ConfigError(f"unknown singer {singer!r}; choose one of: {', '.join(SINGERS)}")
    return SINGERS[singer]
